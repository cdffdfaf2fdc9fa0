// SPDX-License-Identifier: Apache-2.0
// One value of a node over time: its words, bars, and the figure of the step under the mouse or chosen by the arrow keys.
import { type KeyboardEvent, type PointerEvent, useId, useState } from "react";
import { timeToSecond } from "../format/units";
import { Bars } from "./Bars";
import { largest, type Values } from "./history";

interface Props {
  title: string;
  values: Values;
  timesMs: readonly number[];
  /** From which value on it hurts. */
  badFrom: number;
  most?: number;
  /** What it says when no step is chosen. */
  summary: string;
  /** The figure of a step. */
  words: (value: number) => string;
}

export function HistoryChart({ title, values, timesMs, badFrom, most, summary, words }: Props) {
  const name = useId();
  const [chosen, choose] = useState<number>();
  const last = values.length - 1;
  const at = chosen === undefined || last < 0 ? undefined : Math.min(chosen, last);
  const value = at === undefined ? undefined : values[at];
  const said = at === undefined ? summary : `${timeToSecond(timesMs[at]!)}: ${value === null || value === undefined ? "nothing was heard" : words(value)}`;

  const point = (event: PointerEvent) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    choose(Math.max(0, Math.min(last, Math.floor(((event.clientX - left) / width) * values.length))));
  };
  const press = (event: KeyboardEvent) => {
    const to = STEPS[event.key]?.(at ?? last, last);
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    choose(Math.max(0, Math.min(last, to)));
  };
  return (
    <div className="fg-history-row">
      <div className="fg-history-words">
        <span id={name}>{title}</span>
        <span className={largest(values) >= badFrom ? "fg-history-bad" : "fg-context"}>{said}</span>
      </div>
      <div
        className="fg-history-bars" role="slider" tabIndex={0} aria-labelledby={name} aria-valuemin={0} aria-valuemax={Math.max(last, 0)}
        aria-valuenow={at ?? Math.max(last, 0)} aria-valuetext={said} aria-orientation="horizontal"
        onPointerMove={point} onPointerLeave={() => choose(undefined)} onKeyDown={press} onFocus={() => choose(at ?? last)} onBlur={() => choose(undefined)}
      >
        <Bars values={values} badFrom={badFrom} at={at} {...(most === undefined ? {} : { most })} />
      </div>
    </div>
  );
} // prettier-ignore

const STEPS: Record<string, (at: number, last: number) => number> = {
  ArrowLeft: (at) => at - 1,
  ArrowRight: (at) => at + 1,
  Home: () => 0,
  End: (_, last) => last,
};
