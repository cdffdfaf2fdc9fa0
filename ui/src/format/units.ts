// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them. Units are always shown; decimal (kB = 1000 bytes), as network people count.

const BYTES = ["B", "kB", "MB", "GB", "TB", "PB"];

function scaled(value: number, units: readonly string[]): string {
  let rest = Math.abs(value);
  let index = 0;
  while (rest >= 999.5 && index < units.length - 1) {
    rest /= 1000;
    index += 1;
  }
  const digits = index === 0 || rest >= 99.95 ? 0 : 1;
  return `${value < 0 ? "−" : ""}${rest.toFixed(digits)} ${units[index]}`;
}

export const bytes = (value: number): string => scaled(value, BYTES);

/** Bytes per second. */
export const rate = (value: number): string => `${scaled(value, BYTES)}/s`;

const whole = new Intl.NumberFormat("en-US");
export const count = (value: number): string => whole.format(Math.round(value)).replaceAll(",", "\u202f");

/** A count with its noun: `1 flow`, `2 flows`. */
export const counted = (value: number, noun: string): string => `${count(value)} ${noun}${Math.round(value) === 1 ? "" : "s"}`;

/** A duration in ns. */
export function duration(ns: number): string {
  if (ns < 1_000) return `${ns} ns`;
  if (ns < 1_000_000) return `${trimmed(ns / 1_000)} µs`;
  if (ns < 1_000_000_000) return `${trimmed(ns / 1_000_000)} ms`;
  if (ns < 60_000_000_000) return `${trimmed(ns / 1_000_000_000)} s`;
  const seconds = Math.round(ns / 1_000_000_000);
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function trimmed(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1).replace(/\.0$/, "") : value.toFixed(2).replace(/\.?0+$/, "");
}

/** A share, 0 to 1, that never rounds a loss away: 0.99996 is 99.99 %, not 100 %. */
export function percent(share: number): string {
  if (share >= 1) return "100 %";
  const value = Math.floor(share * 10_000) / 100;
  return `${value.toFixed(2).replace(/\.?0+$/, "")} %`;
}

type Parts = Intl.DateTimeFormatOptions;
const DAY: Parts = { day: "numeric", month: "short" };
const YEAR: Parts = { ...DAY, year: "numeric" };
const CLOCK: Parts = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const written = (parts: Parts) => new Intl.DateTimeFormat("en-GB", parts);

const clock = written(CLOCK);
const day = written(YEAR);
const year = written({ year: "numeric" });
const dayTime = written({ ...DAY, ...CLOCK });
const full = written({ ...YEAR, ...CLOCK });
const zoned = written({ timeZoneName: "short" });

/** The browser's time zone at a time, in which all times are shown: `UTC`, `GMT+1`. */
export const zone = (ms: number): string => zoned.formatToParts(ms).find(({ type }) => type === "timeZoneName")?.value ?? "";

const sameDay = (one: number, other: number): boolean => day.format(one) === day.format(other);
const sameYear = (one: number, other: number): boolean => year.format(one) === year.format(other);
const millis = (ms: number): string => String(Math.floor(ms) % 1000).padStart(3, "0");

/** Local time of day; with the day where that is not today (or the day of a time said before), with the year where that is another. */
export const timeToSecond = (ms: number, besideMs = Date.now()): string => (sameDay(ms, besideMs) ? clock : sameYear(ms, besideMs) ? dayTime : full).format(ms);
export const timeOfDay = (ms: number): string => `${timeToSecond(ms)}.${millis(ms)}`;
export const dateTime = (ms: number): string => `${full.format(ms)}.${millis(ms)} ${zone(ms)}`;

/** A range; the day once where it is the same, the year where it is not this one. */
export function timeRange(from: number, to: number, nowMs = Date.now()): string {
  const long = sameYear(from, nowMs) && sameYear(to, nowMs) ? dayTime : full;
  return `${long.format(from)} – ${(sameDay(from, to) ? clock : long).format(to)}`;
}

/** A range and how long it is, in whole seconds. */
export const rangeAndLength = (from: number, to: number, nowMs = Date.now()): string => `${timeRange(from, to, nowMs)} (${duration(Math.round((to - from) / 1000) * 1e9)})`;

/** The first letter large, as a sentence begins; not that of a name, as `bulk-receiver:9100`. */
export const capital = (words: string): string => (/^[a-z]+([\s,;']|$)/.test(words) ? words.charAt(0).toUpperCase() + words.slice(1) : words);
