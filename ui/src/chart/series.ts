// SPDX-License-Identifier: Apache-2.0
// From the API's series to what the chart draws: both directions of a pair as one band, bytes per second, whole bins only.
import type { Row, SeriesAnswer, Topology } from "../api/types";
import { type End, endName, plain } from "../format/flow";

export interface Band {
  /** The same pair has the same key over time, so that it keeps its colour. */
  key: string;
  label: string;
  /** The pair, for a filter; empty for the others. */
  ends: Row[];
  /** Bytes per second, one value a time. */
  values: number[];
  approx: boolean;
  /** Bytes over the whole window. */
  bytes: number;
}

export interface Bands {
  times: number[];
  stepMs: number;
  /** Largest first; the last may be the others. */
  bands: Band[];
  /** The sum of all bands. */
  total: number[];
}

export const BANDS = 6;
const OTHERS = "all others";
/** Flows reach the store a moment after they end: a bin younger than this is not full yet. */
const SETTLING_MS = 6_000;

const nameOf = (key: Row, end: End): string => endName(key, end).label;

/** Who asks whom, as `client\nserver`, by the names that bands have. */
export const askers = (topology: Topology | undefined): ReadonlySet<string> => {
  const names = new Map((topology?.nodes ?? []).map((node) => [node.id, plain(node.owner)]));
  return new Set((topology?.edges ?? []).map((edge) => `${names.get(edge.src)}\n${names.get(edge.dst)}`));
};

/** `client → server`; `a ⇄ b` when both ask each other or nobody knows. */
function labelOf(a: string, b: string, asks: ReadonlySet<string>): string {
  const [forth, back] = [asks.has(`${a}\n${b}`), asks.has(`${b}\n${a}`)];
  if (forth === back) return `${a} ⇄ ${b}`;
  return forth ? `${a} → ${b}` : `${b} → ${a}`;
}

/** Bands of an answer, as it was at `nowMs`. */
export function bandsOf(answer: SeriesAnswer, nowMs: number, asks: ReadonlySet<string> = new Set()): Bands {
  const last = Math.min(answer.window.to_ms, nowMs - SETTLING_MS);
  const bins = answer.times_ms.filter((time) => time + answer.step_ms <= last).length || answer.times_ms.length;
  const seconds = answer.step_ms / 1000;
  const rates = (values: readonly number[]) => Array.from({ length: bins }, (_, i) => (values[i] ?? 0) / seconds);

  const pairs = new Map<string, Band>();
  for (const one of answer.series) {
    const [a, b] = [nameOf(one.key, "src"), nameOf(one.key, "dst")];
    const key = [a, b].toSorted().join("\n");
    const band = pairs.get(key);
    if (!band) pairs.set(key, { key, label: labelOf(a, b, asks), ends: [one.key], values: rates(one.values), approx: one.approx, bytes: sum(one.values) });
    else pairs.set(key, { ...band, ends: [...band.ends, one.key], values: plus(band.values, rates(one.values)), approx: band.approx || one.approx, bytes: band.bytes + sum(one.values) });
  }
  const sorted = [...pairs.values()].toSorted((a, b) => b.bytes - a.bytes || (a.key < b.key ? -1 : 1));
  const rest = sorted.slice(BANDS).reduce((total, band) => plus(total, band.values), rates(answer.others));
  const bands = sorted.slice(0, BANDS);
  const restBytes = sum(answer.others) + sum(sorted.slice(BANDS).map((band) => band.bytes));
  if (restBytes > 0) bands.push({ key: OTHERS, label: OTHERS, ends: [], values: rest, approx: sorted.some((band) => band.approx), bytes: restBytes });
  const total = bands.reduce((all, band) => plus(all, band.values), rates([]));
  return { times: answer.times_ms.slice(0, bins), stepMs: answer.step_ms, bands, total };
}

const plus = (a: readonly number[], b: readonly number[]): number[] => a.map((value, i) => value + (b[i] ?? 0));
const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

/** Which of the palette's colours a band has: kept from before, else the first free one; −1 is the grey of the others. */
export function coloursOf(bands: readonly Band[], before: ReadonlyMap<string, number> = new Map()): Map<string, number> {
  const colours = new Map<string, number>();
  for (const band of bands) {
    const kept = band.key === OTHERS ? -1 : before.get(band.key);
    if (kept !== undefined) colours.set(band.key, kept);
  }
  const taken = new Set(colours.values());
  const free = Array.from({ length: BANDS }, (_, i) => i).filter((i) => !taken.has(i));
  for (const band of bands) if (!colours.has(band.key)) colours.set(band.key, free.shift() ?? 0);
  return colours;
}
