// SPDX-License-Identifier: Apache-2.0
// Bytes per second over time, stacked, on a canvas. Dragging over it chooses a time range. Loaded when it is first shown.
import { useEffect, useRef } from "react";
import type { WindowMs } from "../api/types";
import { token, useTheme } from "../state/theme";
import { type EChartsType, init } from "./echarts";
import { chartOptions, colourOf, type Palette, tipRows } from "./options";
import { BANDS, type Bands } from "./series";

interface Props {
  data: Bands;
  colours: ReadonlyMap<string, number>;
  axis: WindowMs;
  label: string;
  onRange: (from: number, to: number) => void;
}

/** A drag shorter than this many milliseconds of the axis is a click. */
const LEAST_RANGE_MS = 1_000;

export default function StackedChart({ data, colours, axis, label, onRange }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType>();
  const choose = useRef(onRange);
  choose.current = onRange;
  const [theme] = useTheme();

  useEffect(() => {
    if (!place.current) return;
    const made = init(place.current, null, { renderer: "canvas" });
    chart.current = made;
    made.on("brushEnd", (event) => {
      const [from, to] = ((event as { areas?: { coordRange?: [number, number] }[] }).areas?.[0]?.coordRange ?? [0, 0]).map(Math.round) as [number, number];
      made.dispatchAction({ type: "brush", areas: [] });
      if (to - from >= LEAST_RANGE_MS) choose.current(from, to);
    });
    const watch = new ResizeObserver(() => made.resize());
    watch.observe(place.current);
    return () => {
      watch.disconnect();
      made.dispose();
    };
  }, []);

  useEffect(() => {
    const palette = paletteOf();
    const tip = (bin: number) => tipElement(data, colours, palette, bin);
    chart.current?.setOption(chartOptions(data, colours, palette, axis, tip), { notMerge: false, replaceMerge: ["series"] });
    chart.current?.dispatchAction({ type: "takeGlobalCursor", key: "brush", brushOption: { brushType: "lineX", brushMode: "single" } });
  }, [data, colours, axis, theme]);

  return <div ref={place} className="fg-chart" role="img" aria-label={label} />;
}

function paletteOf(): Palette {
  return {
    series: Array.from({ length: BANDS }, (_, i) => token(`--fg-series-${i}`)),
    others: token("--fg-series-others"),
    text: token("--pf-t--global--text--color--subtle"),
    line: token("--fg-line"),
    surface: token("--pf-t--global--background--color--floating--default"),
  };
}

/** Made of elements, never of markup: names come from the network. */
function tipElement(data: Bands, colours: ReadonlyMap<string, number>, palette: Palette, bin: number): HTMLElement {
  const { title, rows, total } = tipRows(data, bin);
  const table = document.createElement("table");
  const line = (label: string, text: string, colour?: string) => {
    const row = table.insertRow();
    const dot = row.insertCell().appendChild(document.createElement("i"));
    if (colour) dot.style.background = colour;
    row.insertCell().textContent = label;
    row.insertCell().textContent = text;
    return row;
  };
  line(title, total).className = "fg-chart-tip-head";
  for (const row of rows) line(row.label, row.text, colourOf(colours.get(row.key), palette));
  return table;
}
