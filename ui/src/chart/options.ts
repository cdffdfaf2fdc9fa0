// SPDX-License-Identifier: Apache-2.0
// The chart's options, from bands and the theme's colours. Pure, so that tests can read them.
import type { WindowMs } from "../api/types";
import { rate, timeToSecond } from "../format/units";
import type { Bands } from "./series";

export interface Palette {
  series: string[];
  others: string;
  text: string;
  line: string;
  surface: string;
}

const HOUR = 3_600_000;

/** Time labels: seconds only when the axis is short or a label stands between two minutes, days only when it is long. */
function clock(lengthMs: number): (ms: number) => string {
  const parts: Intl.DateTimeFormatOptions =
    lengthMs > 26 * HOUR ? { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" } : { hour: "2-digit", minute: "2-digit" };
  const minutes = new Intl.DateTimeFormat("en-GB", parts);
  const seconds = new Intl.DateTimeFormat("en-GB", { ...parts, second: "2-digit" });
  return (ms) => (lengthMs < 4 * 60_000 || ms % 60_000 !== 0 ? seconds : minutes).format(ms);
}

export const colourOf = (index: number | undefined, palette: Palette): string => (index === undefined || index < 0 ? palette.others : (palette.series[index] ?? palette.others));

/** The least that the time axis shows. */
const SHORTEST_AXIS_MS = 60_000;

/** The part of a window that the axis shows: a store younger than the window has nothing before its first flow. */
export function axisOf(window: WindowMs, oldestMs: number | undefined): WindowMs {
  if (!oldestMs) return window;
  return { from_ms: Math.max(window.from_ms, Math.min(oldestMs, window.to_ms - SHORTEST_AXIS_MS)), to_ms: window.to_ms };
}

/** The tooltip's rows: all bands at one bin, largest first. */
export function tipRows({ bands, times }: Bands, bin: number): { title: string; rows: { key: string; label: string; text: string }[]; total: string } {
  const rows = bands
    .map((band) => ({ key: band.key, label: band.label, value: band.values[bin] ?? 0, approx: band.approx && (band.values[bin] ?? 0) > 0 }))
    .toSorted((a, b) => b.value - a.value);
  const total = rows.reduce((sum, row) => sum + row.value, 0);
  return {
    title: timeToSecond(times[bin] ?? 0),
    rows: rows.map((row) => ({ key: row.key, label: row.label, text: `${row.approx ? "≈\u202f" : ""}${rate(row.value)}` })),
    total: `${rows.some((row) => row.approx) ? "≈\u202f" : ""}${rate(total)}`,
  };
}

/** ECharts options; `axis` is shown whole, also where there is no traffic. */
export function chartOptions(data: Bands, colours: ReadonlyMap<string, number>, palette: Palette, axis: WindowMs, tip: (bin: number) => HTMLElement): Record<string, unknown> {
  const label = { color: palette.text, fontSize: 11, fontFamily: "inherit" };
  return {
    animation: false,
    grid: { left: 4, right: 12, top: 10, bottom: 2, containLabel: true },
    xAxis: {
      type: "time",
      min: axis.from_ms,
      max: axis.to_ms,
      axisLabel: { ...label, formatter: clock(axis.to_ms - axis.from_ms), hideOverlap: true },
      axisLine: { lineStyle: { color: palette.line } },
      axisTick: { show: false },
      splitLine: { show: false },
    },
    yAxis: {
      type: "value",
      axisLabel: { ...label, formatter: (value: number) => (value === 0 ? "0" : rate(value)) },
      splitLine: { lineStyle: { color: palette.line } },
      splitNumber: 4,
      minInterval: 1,
    },
    tooltip: {
      trigger: "axis",
      transitionDuration: 0,
      confine: true,
      className: "fg-chart-tip",
      backgroundColor: palette.surface,
      borderColor: palette.line,
      padding: 0,
      textStyle: { color: palette.text, fontFamily: "inherit" },
      axisPointer: { lineStyle: { color: palette.text, type: "dashed", opacity: 0.6 } },
      formatter: (points: { dataIndex: number }[]) => tip(points[0]?.dataIndex ?? 0),
    },
    series: data.bands.map((band) => ({
      id: band.key,
      name: band.label,
      type: "line",
      stack: "all",
      symbol: "none",
      lineStyle: { width: 0 },
      areaStyle: { opacity: 0.85, color: colourOf(colours.get(band.key), palette) },
      itemStyle: { color: colourOf(colours.get(band.key), palette) },
      emphasis: { disabled: true },
      data: band.values.map((value, i) => [data.times[i] ?? 0, value]),
    })),
  };
}
