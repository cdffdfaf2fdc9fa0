// SPDX-License-Identifier: Apache-2.0
// Bytes per second over time, stacked, on a canvas. Dragging over it chooses a time range. Loaded when it is first shown.
import { useEffect, useRef } from "react";
import type { WindowMs } from "../api/types";
import { rangeAndLength } from "../format/units";
import { token, useTheme } from "../state/theme";
import { type EChartsType, init } from "./echarts";
import { chartOptions, colourOf, type Palette, tipRows } from "./options";
import { BANDS, type Bands } from "./series";
import { useRangeDrag } from "./useRangeDrag";

interface Props {
  data: Bands;
  colours: ReadonlyMap<string, number>;
  axis: WindowMs;
  label: string;
  onRange: (from: number, to: number) => void;
}

const AXIS = { xAxisIndex: 0 };

export default function StackedChart({ label, onRange, ...newest }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType>();
  const shown = useRef(newest);
  const [theme] = useTheme();

  const timeAt = (clientX: number): number => {
    const { from_ms, to_ms } = shown.current.axis;
    const x = clientX - (place.current?.getBoundingClientRect().left ?? 0);
    return Math.max(from_ms, Math.min(to_ms, Number(chart.current?.convertFromPixel(AXIS, x))));
  };
  const { held, range, handlers } = useRangeDrag(timeAt, onRange);
  if (!held) shown.current = newest;
  const { data, colours, axis } = shown.current;

  useEffect(() => {
    if (!place.current) return;
    const made = init(place.current, null, { renderer: "canvas" });
    chart.current = made;
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
  }, [data, colours, axis, theme]);

  const dragging = range !== undefined;
  useEffect(() => {
    if (dragging) chart.current?.dispatchAction({ type: "hideTip" });
  }, [dragging]);

  const [left = 0, right = 0] = range ? [range.from_ms, range.to_ms].map((ms) => Number(chart.current?.convertToPixel(AXIS, ms))) : [];
  return (
    <div className="fg-chart" role="img" aria-label={label} {...handlers}>
      <div ref={place} className="fg-chart-canvas" />
      {range && (
        <>
          <div className="fg-chart-range" style={{ left, width: right - left }} />
          <span className="fg-chart-chosen">{rangeAndLength(range.from_ms, range.to_ms)}</span>
        </>
      )}
    </div>
  );
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
