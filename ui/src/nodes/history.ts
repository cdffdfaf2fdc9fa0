// SPDX-License-Identifier: Apache-2.0
// Nodes' counters over time, for people: the counters of a column together, since when, and how much at most.
import type { NodeHistory } from "../api/types";
import { count, counted, timeToSecond } from "../format/units";
import { PROBLEM_COUNTERS } from "./signs";

/** A value for each step; null: nothing was heard then. */
export type Values = readonly (number | null)[];

/** Counters together, step by step. */
export const together = (history: NodeHistory, names: readonly string[]): Values =>
  history.tracked.map((_, step) => {
    const values = names.map((name) => history.counters[name]?.[step] ?? 0);
    return isHeard(history, step) ? values.reduce((sum, one) => sum + one, 0) : null;
  });

const isHeard = (history: NodeHistory, step: number): boolean => history.heard[step] ?? false;

/** All that found no room or was dropped. */
export const problems = (history: NodeHistory): Values => together(history, PROBLEM_COUNTERS);

/** What a chart says of a counter that never moved. */
export const NONE = "none";

export const largest = (values: Values): number => values.reduce<number>((most, one) => Math.max(most, one ?? 0), 0);
export const sum = (values: Values): number => values.reduce<number>((all, one) => all + (one ?? 0), 0);

/** The step in which the newest stretch without a quiet step began; -1: never. Steps in which nothing was heard do not end it. */
export function sinceStep(values: Values): number {
  let since = -1;
  let quiet = true;
  values.forEach((value, step) => {
    if (value === null) return;
    if (value > 0 && quiet) since = step;
    quiet = value === 0;
  });
  return since;
}

/** `since 10:03:00`; of a stretch that goes on from the range's begin `all the time`, and when it was, of one that is over. */
export function sinceWords(values: Values, timesMs: readonly number[], stepMs: number): string {
  const since = sinceStep(values);
  if (since < 0) return "never";
  const until = values.findLastIndex((value) => (value ?? 0) > 0);
  const quietAfter = values.slice(until + 1).some((value) => value === 0);
  if (quietAfter) return `${timeToSecond(timesMs[since]!)} – ${timeToSecond(timesMs[until]! + stepMs, timesMs[since])}`;
  return `since ${timeToSecond(timesMs[since]!)}`;
}

/** What a chart says when nobody points at it: `240 since 10:03:00, at most 120 in 30 s`. */
export function countWords(values: Values, timesMs: readonly number[], stepMs: number): string {
  const all = sum(values);
  return all === 0 ? NONE : `${count(all)}, ${sinceWords(values, timesMs, stepMs)}, at most ${count(largest(values))} in ${stepWords(stepMs)}`;
}

export const stepWords = (stepMs: number): string => (stepMs < 60_000 ? `${stepMs / 1000} s` : stepMs < 3_600_000 ? `${stepMs / 60_000} min` : `${stepMs / 3_600_000} h`);

/** How much of the range there is no history of, as a sentence; empty: all is there. */
export function lackWords(history: NodeHistory | undefined, timesMs: readonly number[], stepMs: number): string {
  if (!history) return "There is no history of it in this time range: its agent told nothing, or is too old to tell.";
  const steps = history.heard.filter(Boolean).length;
  const first = timeToSecond(history.first_ms);
  if (steps < 2) return `There is no history of it yet: its agent was heard first at about ${first}.`;
  if (history.first_ms > timesMs[0]! + stepMs) return `It was heard first at about ${first}; before that there is nothing of it in this time range.`;
  const gaps = history.heard.slice(history.heard.indexOf(true), history.heard.lastIndexOf(true)).filter((heard) => !heard).length;
  return gaps > 0 ? `Nothing was heard of it in ${counted(gaps, "step")} of ${stepWords(stepMs)}, which are grey.` : "";
}
