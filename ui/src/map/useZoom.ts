// SPDX-License-Identifier: Apache-2.0
// How large the map is drawn and which part of it is seen: all of it or what matters most, until the user chooses.
import { type PointerEvent, type RefObject, useEffect, useLayoutEffect, useRef, useState, useSyncExternalStore } from "react";
import { centre, type Places } from "./places";
import type { Point } from "./routes";

export interface Size {
  width: number;
  height: number;
}

/** Smaller than this no name can be read: then the map scrolls. */
const SMALLEST_FIT = 0.55;
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

/** As in frame.css and map.css: there the map is as high as it needs. */
const PHONE_WINDOW = "(max-width: 480px)";

export function usePhone(): boolean {
  return useSyncExternalStore(
    (changed) => {
      const query = matchMedia(PHONE_WINDOW);
      query.addEventListener("change", changed);
      return () => query.removeEventListener("change", changed);
    },
    () => matchMedia(PHONE_WINDOW).matches,
  );
}

/** The scale at which the whole map is seen; a frame that grows with it (`free`) limits its width only. */
export const fitting = (frame: Size, map: Size, free = false): number =>
  Math.min(LARGEST_FIT, Math.max(SMALLEST_FIT, Math.min(frame.width / Math.max(1, map.width), free ? Infinity : frame.height / Math.max(1, map.height))));

export interface Zoom {
  scale: number;
  /** Whether the map is still as it opened: nothing was chosen. */
  fitted: boolean;
  zoom: (steps: number) => void;
  fit: () => void;
}

/** What of the map lies in the middle of the frame, by the card next to it: cards move when others appear. */
interface Focus {
  card: string;
  dx: number;
  dy: number;
}

/** `aim` is what is seen first of a map that is larger than its frame. */
export function useZoom(frame: RefObject<HTMLElement>, size: Size, places: Places, aim: Point, phone: boolean): Zoom {
  const [chosen, setChosen] = useState<number>();
  const [byHand, setByHand] = useState(false);
  const focus = useRef<Focus>();
  const scale = chosen ?? fitting(size, places, phone);
  const fitted = chosen === undefined && !byHand;
  const shown = useRef({ left: 0, top: 0 });
  useLayoutEffect(() => {
    if (!frame.current) return;
    show(frame.current, (!fitted && focusPoint(focus.current, places)) || aim, scale);
    shown.current = { left: frame.current.scrollLeft, top: frame.current.scrollTop };
  }, [frame, fitted, scale, places, aim, size.width, size.height]);
  useEffect(() => {
    const element = frame.current;
    const moved = () => {
      if (!element || Math.hypot(...beyond(element, shown.current)) <= 1) return;
      focus.current = focusOf(middleOf(element, scale), places);
      setByHand(true);
    };
    element?.addEventListener("scroll", moved, { passive: true });
    return () => element?.removeEventListener("scroll", moved);
  }, [frame, scale, places]);
  return {
    scale,
    fitted,
    zoom: (steps) => {
      if (frame.current) focus.current = focusOf(middleOf(frame.current, scale), places);
      setChosen(Math.min(2, Math.max(0.2, scale * STEP ** steps)));
    },
    fit: () => {
      setChosen(undefined);
      setByHand(false);
    },
  };
}

type Scrolled = Pick<HTMLElement, "scrollLeft" | "scrollTop" | "scrollWidth" | "scrollHeight" | "clientWidth" | "clientHeight">;

/** How far a frame is from where it was put; one that grew shows its end, which nobody chose. */
export const beyond = (frame: Scrolled, { left, top }: { left: number; top: number }): [number, number] => [
  frame.scrollLeft - Math.min(left, frame.scrollWidth - frame.clientWidth),
  frame.scrollTop - Math.min(top, frame.scrollHeight - frame.clientHeight),
];

const show = (frame: HTMLElement, { x, y }: Point, scale: number): void => frame.scrollTo(x * scale - frame.clientWidth / 2, y * scale - frame.clientHeight / 2);

const middleOf = (frame: HTMLElement, scale: number): Point => ({ x: (frame.scrollLeft + frame.clientWidth / 2) / scale, y: (frame.scrollTop + frame.clientHeight / 2) / scale });

function focusOf({ x, y }: Point, places: Places): Focus | undefined {
  const near = [...places.cards].map(([card, rect]): Focus => ({ card, dx: x - centre(rect), dy: y - rect.y }));
  return near.reduce<Focus | undefined>((best, one) => (best && Math.hypot(best.dx, best.dy) <= Math.hypot(one.dx, one.dy) ? best : one), undefined);
}

function focusPoint(focus: Focus | undefined, places: Places): Point | undefined {
  const rect = focus && places.cards.get(focus.card);
  return rect && { x: centre(rect) + focus.dx, y: rect.y + focus.dy };
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
