// SPDX-License-Identifier: Apache-2.0
// A drag over a chart that chooses a time range. It holds the pointer from press to release, wherever that goes, and remembers times,
// not places: neither an answer nor a chart of another width in its midst moves what was chosen. Escape gives it up.
import { type PointerEvent, useEffect, useRef, useState } from "react";
import type { WindowMs } from "../api/types";

/** A pointer that moved less is a click. */
const LEAST_PX = 6;
/** A range is never shorter. */
const LEAST_RANGE_MS = 1_000;

interface Drag {
  pointer: number;
  /** Where it began: in the window, and on the time axis. */
  startPx: number;
  startMs: number;
  /** What is chosen; nothing before it is more than a click. */
  range: WindowMs | undefined;
}

/** From one time of the axis to another, in whole milliseconds, in whichever direction. */
export function rangeOf(oneMs: number, otherMs: number): WindowMs {
  const [from, to] = [Math.min(oneMs, otherMs), Math.max(oneMs, otherMs)];
  const lacking = Math.max(0, LEAST_RANGE_MS - (to - from)) / 2;
  return { from_ms: Math.round(from - lacking), to_ms: Math.round(to + lacking) };
}

interface Handlers {
  onPointerDown: (event: PointerEvent) => void;
  onPointerMove: (event: PointerEvent) => void;
  onPointerUp: (event: PointerEvent) => void;
  onPointerCancel: () => void;
  onLostPointerCapture: () => void;
}

interface RangeDrag {
  /** Whether somebody holds the chart: it stands still as long. */
  held: boolean;
  range: WindowMs | undefined;
  handlers: Handlers;
}

/** `timeAt` tells which time of the axis is at a place of the window, in pixels from its left. */
export function useRangeDrag(timeAt: (clientX: number) => number, onRange: (from: number, to: number) => void): RangeDrag {
  const [drag, setDrag] = useState<Drag>();
  // The next event may come before the state is there.
  const now = useRef<Drag>();
  const put = (next: Drag | undefined) => setDrag((now.current = next));

  const held = drag !== undefined;
  useEffect(() => {
    if (!held) return;
    const press = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      put(undefined);
    };
    addEventListener("keydown", press, true);
    return () => removeEventListener("keydown", press, true);
  }, [held]);

  const moved = ({ pointerId, clientX }: PointerEvent): Drag | undefined => {
    const was = now.current;
    if (was?.pointer !== pointerId) return undefined;
    const far = was.range !== undefined || Math.abs(clientX - was.startPx) >= LEAST_PX;
    return { ...was, range: far ? rangeOf(was.startMs, timeAt(clientX)) : undefined };
  };
  const handlers: Handlers = {
    onPointerDown: (event) => {
      if (event.button !== 0 || !event.isPrimary) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      put({ pointer: event.pointerId, startPx: event.clientX, startMs: timeAt(event.clientX), range: undefined });
    },
    onPointerMove: (event) => {
      const next = moved(event);
      if (next) put(next);
    },
    onPointerUp: (event) => {
      const range = moved(event)?.range;
      put(undefined);
      if (range) onRange(range.from_ms, range.to_ms);
    },
    onPointerCancel: () => put(undefined),
    onLostPointerCapture: () => put(undefined),
  };
  return { held, range: drag?.range, handlers };
}
