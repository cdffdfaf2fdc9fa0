// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { SeriesAnswer } from "../src/api/types";
import { axisOf, chartOptions, tipRows } from "../src/chart/options";
import { askers, bandsOf, BANDS, coloursOf } from "../src/chart/series";
import { rangeOf } from "../src/chart/useRangeDrag";
import { FLOW_DEMO } from "./scene";

const key = (src: string, dst: string) => ({ src_owner: src, dst_owner: dst });
const ANSWER: SeriesAnswer = {
  times_ms: [0, 10_000, 20_000], step_ms: 10_000, others: [0, 500, 0], group_count: 3, sampling: "", window: { from_ms: 0, to_ms: 26_000 },
  series: [
    { key: key("postgresql", "django-psql-example"), values: [9000, 9000, 100], approx: false },
    { key: key("django-psql-example", "postgresql"), values: [1000, 1000, 100], approx: true },
    { key: key("a", "b"), values: [10, 20, 30], approx: false },
  ],
}; // prettier-ignore

describe("bands", () => {
  const data = bandsOf(ANSWER, 1e9, askers(FLOW_DEMO));

  it("join both directions and read from client to server", () => {
    expect(data.bands.map((band) => band.label)).toEqual(["django-psql-example → postgresql", "a ⇄ b", "all others"]);
    expect(data.bands[0]!.approx).toBe(true);
  });

  it("are bytes per second", () => {
    expect(data.bands[0]!.values).toEqual([1000, 1000]);
    expect(data.total).toEqual([1001, 1052]);
  });

  it("leave out the last bin while it fills, and a moment longer", () => {
    expect(data.times).toEqual([0, 10_000]);
    expect(bandsOf(ANSWER, 25_000).times).toEqual([0]);
  });

  it("add what is beyond the sixth pair to the others", () => {
    const series = Array.from({ length: 9 }, (_, i) => ({ key: key(`s${i}`, `d${i}`), values: [100 * (9 - i)], approx: false }));
    const many = bandsOf({ ...ANSWER, times_ms: [0], series, others: [50] }, 1e9);
    expect(many.bands).toHaveLength(BANDS + 1);
    expect(many.bands.at(-1)!.values).toEqual([(300 + 200 + 100 + 50) / 10]);
  });
});

it("a pair keeps its colour while others come and go", () => {
  const band = (name: string) => ({ key: name, label: name, ends: [], values: [], approx: false, bytes: 1 });
  const first = coloursOf([band("a"), band("b")]);
  const second = coloursOf([band("c"), band("b")], first);
  expect(second.get("b")).toBe(first.get("b"));
  expect(second.get("c")).not.toBe(second.get("b"));
});

describe("the chart", () => {
  const data = bandsOf(ANSWER, 1e9);
  const palette = { series: ["blue"], others: "grey", text: "t", line: "l", surface: "s" };
  const options = chartOptions(data, coloursOf(data.bands), palette, ANSWER.window, () => document.createElement("p"));

  it("shows the whole window also where there is no traffic", () => {
    expect(options.xAxis).toMatchObject({ min: 0, max: 26_000 });
  });

  it("labels no two times alike", () => {
    const from = new Date(2026, 0, 1, 10).getTime(); // labels are in the reader's time zone
    const axis = { from_ms: from, to_ms: from + 300_000 };
    const { xAxis } = chartOptions(data, coloursOf(data.bands), palette, axis, () => document.createElement("p")) as { xAxis: { axisLabel: { formatter: (ms: number) => string } } };
    const labels = [60_000, 90_000, 120_000].map((ms) => xAxis.axisLabel.formatter(from + ms));
    expect(labels).toEqual(["10:01", "10:01:30", "10:02"]);
  });

  it("begins where the store does, but never shows less than a minute", () => {
    const window = { from_ms: 0, to_ms: 900_000 };
    expect(axisOf(window, undefined)).toEqual(window);
    expect(axisOf(window, 600_000).from_ms).toBe(600_000);
    expect(axisOf(window, 899_000).from_ms).toBe(840_000);
  });

  it("stacks every band, the others in grey", () => {
    const series = options.series as { id: string; stack: string; itemStyle: { color: string }; data: number[][] }[];
    expect(series.map((one) => one.stack)).toEqual(["all", "all", "all"]);
    expect(series.at(-1)!.itemStyle.color).toBe("grey");
    expect(series[0]!.data).toEqual([[0, 1000], [10_000, 1000]]);
  });

  it("tells at a time what each pair had, largest first, and their sum", () => {
    const tip = tipRows(data, 1);
    expect(tip.rows.map((row) => row.text)).toEqual(["≈\u202f1.0 kB/s", "≈\u202f50 B/s", "2 B/s"]);
    expect(tip.total).toBe("≈\u202f1.1 kB/s");
  });
});

describe("a drag over the chart", () => {
  it("chooses the same range in both directions, in whole milliseconds", () => {
    expect(rangeOf(10_000.4, 70_000.6)).toEqual({ from_ms: 10_000, to_ms: 70_001 });
    expect(rangeOf(70_000.6, 10_000.4)).toEqual({ from_ms: 10_000, to_ms: 70_001 });
  });

  it("chooses a second at least, around what was meant", () => {
    expect(rangeOf(10_400, 10_600)).toEqual({ from_ms: 10_000, to_ms: 11_000 });
  });
});
