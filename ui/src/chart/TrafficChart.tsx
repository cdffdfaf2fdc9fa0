// SPDX-License-Identifier: Apache-2.0
// The chart with its legend; each entry of the legend is a pair that can be filtered by.
import { Skeleton } from "@patternfly/react-core";
import { lazy, Suspense, useMemo, useRef } from "react";
import type { Row, SeriesAnswer, Topology } from "../api/types";
import { Approx } from "../common/Approx";
import { Value } from "../common/ValueMenu";
import { coveredSeconds } from "../format/edge";
import { endName } from "../format/flow";
import { rate } from "../format/units";
import { term } from "../state/terms";
import "./chart.css";
import { axisOf } from "./options";
import { askers, type Band, bandsOf, coloursOf } from "./series";

const load = () => import("./StackedChart");
const StackedChart = lazy(load);

/** The charts are not part of the first files: who will need one asks for them while the answer is on its way. */
export const preloadChart = (): void => void load();

interface Props {
  answer: SeriesAnswer;
  question: string;
  /** When the store's first flow ended. */
  oldestMs: number | undefined;
  /** Tells who asks whom. */
  topology: Topology | undefined;
  onRange: (from: number, to: number) => void;
}

export function TrafficChart({ answer, question, oldestMs, topology, onRange }: Props) {
  const kept = useRef<{ question: string; colours: Map<string, number> }>();
  const data = useMemo(() => bandsOf(answer, Date.now(), askers(topology)), [answer, topology]);
  const colours = useMemo(() => {
    const before = kept.current?.question === question ? kept.current.colours : undefined;
    const next = coloursOf(data.bands, before);
    kept.current = { question, colours: new Map([...(before ?? []), ...next]) };
    return next;
  }, [data, question]);
  const axis = useMemo(() => axisOf(answer.window, oldestMs), [answer, oldestMs]);
  const seconds = coveredSeconds(answer.window, oldestMs);
  const label = `Traffic over time: ${rate(data.bands.reduce((sum, band) => sum + band.bytes, 0) / seconds)} on average, ${rate(Math.max(0, ...data.total))} at most; ${data.bands.map((band) => `${band.label} ${rate(band.bytes / seconds)}`).join(", ")}`;
  return (
    <>
      <Suspense fallback={<Skeleton className="fg-chart" screenreaderText="Loading the chart" />}>
        <StackedChart data={data} colours={colours} axis={axis} label={label} onRange={onRange} />
      </Suspense>
      <ul className="fg-legend">
        {data.bands.map((band) => (
          <li key={band.key}>
            <i className={`fg-dot fg-dot-${colours.get(band.key) ?? -1}`} aria-hidden />
            <BandName band={band} />
            <span className="fg-legend-rate">
              <Approx text={rate(band.bytes / seconds)} approx={band.approx} error={null} />
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}

function BandName({ band }: { band: Band }) {
  const filter = band.ends.map(pairFilter).join(" or ");
  return (
    <Value column={filter ? "pair" : ""} value={band.label} filter={filter} className="fg-legend-name" title={band.label}>
      <Halves label={band.label} />
    </Value>
  );
}

/** Letters of a name that are never cut. */
const KEPT = 10;
const cut = (name: string) => ({ flexShrink: Math.max(0, name.length - KEPT) });

/** Who and whom: where there is no room for both, each gives of what it has most. */
function Halves({ label }: { label: string }) {
  const [, a, arrow, b] = /^(.+) (→|⇄) (.+)$/.exec(label) ?? [];
  if (!arrow) return <>{label}</>;
  return (
    <>
      <span style={cut(a ?? "")}>{a}</span> {arrow} <span style={cut(b ?? "")}>{b}</span>
    </>
  );
}

function pairFilter(key: Row): string {
  const terms = (["src", "dst"] as const).flatMap((end) => {
    const { column, value } = endName(key, end);
    return column ? [term(column, value)] : [];
  });
  return terms.length ? `(${terms.join(" and ")})` : "";
}
