// SPDX-License-Identifier: Apache-2.0
// Time ranges: the relative ones on offer, and the parameters that the API takes.
import type { Params } from "../api/client";
import { timeRange, zone } from "../format/units";
import type { View } from "./view";

export const RELATIVE: readonly { since: string; label: string }[] = [
  { since: "1m", label: "Last minute" },
  { since: "5m", label: "Last 5 minutes" },
  { since: "15m", label: "Last 15 minutes" },
  { since: "1h", label: "Last hour" },
  { since: "6h", label: "Last 6 hours" },
  { since: "1d", label: "Last 24 hours" },
  { since: "7d", label: "Last 7 days" },
];

const UNIT_MS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

export function sinceMs(since: string): number {
  return Number.parseInt(since, 10) * (UNIT_MS[since.slice(-1)] ?? 0);
}

/** Of which flows: the time, and the dataset unless these are the live ones. */
export function rangeParams(view: View): Params {
  const range: Params = view.from !== undefined && view.to !== undefined ? { from: view.from, to: view.to } : { since: view.since };
  return view.dataset ? { ...range, dataset: view.dataset } : range;
}

export function rangeLabel(view: View): string {
  if (view.from !== undefined && view.to !== undefined) return timeRange(view.from, view.to);
  return RELATIVE.find((one) => one.since === view.since)?.label ?? `Last ${view.since}`;
}

/** The range within a sentence: `in the last 15 minutes`. */
export function rangeWords(view: View): string {
  if (view.from !== undefined && view.to !== undefined) return `from ${timeRange(view.from, view.to)} ${zone(view.from)}`;
  return `in the ${rangeLabel(view).replace("Last", "last")}`;
}

/** The range moved by its own length; `steps` -1 is earlier. */
export function moved(view: View, steps: number, nowMs: number): { from: number; to: number } {
  const to = view.to ?? nowMs;
  const length = view.from !== undefined && view.to !== undefined ? view.to - view.from : sinceMs(view.since);
  const from = view.from ?? nowMs - length;
  return { from: from + steps * length, to: to + steps * length };
}
