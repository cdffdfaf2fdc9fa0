// SPDX-License-Identifier: Apache-2.0
// How large the map is drawn, and moving it with the mouse. Touch and wheel scroll it as any other page.
import { type PointerEvent, type RefObject, useEffect, useState } from "react";

export interface Size {
  width: number;
  height: number;
}

/** Smaller than this no label can be read: then the map scrolls. */
const SMALLEST_FIT = 0.72;
const LARGEST_FIT = 1.1;
const STEP = 1.25;

/** The inner size of an element, as it changes. */
export function useSize(element: RefObject<HTMLElement>): Size {
  const [size, setSize] = useState<Size>({ width: 800, height: 400 });
  useEffect(() => {
    if (!element.current) return;
    const watch = new ResizeObserver(([entry]) => entry && setSize({ width: entry.contentRect.width, height: entry.contentRect.height }));
    watch.observe(element.current);
    return () => watch.disconnect();
  }, [element]);
  return size;
}

export const fitting = (frame: Size, map: Size): number =>
  Math.min(LARGEST_FIT, Math.max(SMALLEST_FIT, Math.min(frame.width / Math.max(1, map.width), frame.height / Math.max(1, map.height))));

export interface Zoom {
  scale: number;
  fitted: boolean;
  zoom: (steps: number) => void;
  fit: () => void;
}

export function useZoom(frame: Size, map: Size): Zoom {
  const [chosen, setChosen] = useState<number>();
  const scale = chosen ?? fitting(frame, map);
  return {
    scale,
    fitted: chosen === undefined,
    zoom: (steps) => setChosen(Math.min(2, Math.max(0.2, scale * STEP ** steps))),
    fit: () => setChosen(undefined),
  };
}

/** Moves the map under the mouse until the button is up. */
export function drag(event: PointerEvent, frame: HTMLDivElement | null): void {
  if (!frame || event.pointerType !== "mouse" || event.button !== 0 || (event.target as Element).closest("button, .fg-edge")) return;
  const start = { x: event.clientX + frame.scrollLeft, y: event.clientY + frame.scrollTop };
  const move = (now: globalThis.PointerEvent) => frame.scrollTo(start.x - now.clientX, start.y - now.clientY);
  const stop = () => removeEventListener("pointermove", move);
  addEventListener("pointermove", move);
  addEventListener("pointerup", stop, { once: true });
  event.preventDefault();
}
