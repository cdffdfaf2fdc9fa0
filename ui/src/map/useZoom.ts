// SPDX-License-Identifier: Apache-2.0
// How large the map is drawn, and moving it with the mouse. Touch and wheel scroll it as any other page.
import { type PointerEvent, type RefObject, useEffect, useRef, useState } from "react";

/** Smaller than this no label can be read: then the map scrolls. */
const SMALLEST_FIT = 0.72;
const LARGEST_FIT = 1.1;
const STEP = 1.25;

export interface Zoom {
  frame: RefObject<HTMLDivElement>;
  scale: number;
  fitted: boolean;
  zoom: (steps: number) => void;
  fit: () => void;
  onPointerDown: (event: PointerEvent) => void;
}

export const fitting = (frame: { width: number; height: number }, map: { width: number; height: number }): number =>
  Math.min(LARGEST_FIT, Math.max(SMALLEST_FIT, Math.min(frame.width / Math.max(1, map.width), frame.height / Math.max(1, map.height))));

export function useZoom(map: { width: number; height: number }): Zoom {
  const frame = useRef<HTMLDivElement>(null);
  const [size, setSize] = useState({ width: 800, height: 400 });
  const [chosen, setChosen] = useState<number>();
  useEffect(() => {
    if (!frame.current) return;
    const watch = new ResizeObserver(([entry]) => entry && setSize({ width: entry.contentRect.width, height: entry.contentRect.height }));
    watch.observe(frame.current);
    return () => watch.disconnect();
  }, []);
  const scale = chosen ?? fitting(size, map);
  return {
    frame,
    scale,
    fitted: chosen === undefined,
    zoom: (steps) => setChosen(Math.min(2, Math.max(0.2, scale * STEP ** steps))),
    fit: () => setChosen(undefined),
    onPointerDown: (event) => drag(event, frame.current),
  };
}

/** Moves the map under the mouse until the button is up. */
function drag(event: PointerEvent, frame: HTMLDivElement | null): void {
  if (!frame || event.pointerType !== "mouse" || event.button !== 0 || (event.target as Element).closest("button, .fg-edge")) return;
  const start = { x: event.clientX + frame.scrollLeft, y: event.clientY + frame.scrollTop };
  const move = (now: globalThis.PointerEvent) => frame.scrollTo(start.x - now.clientX, start.y - now.clientY);
  const stop = () => removeEventListener("pointermove", move);
  addEventListener("pointermove", move);
  addEventListener("pointerup", stop, { once: true });
  event.preventDefault();
}
