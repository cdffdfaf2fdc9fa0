// SPDX-License-Identifier: Apache-2.0
// The page: asks the questions of the URL's state and hands the answers to its parts. Nothing here is a second state.
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef } from "react";
import { isFilterProblem } from "../api/client";
import { useLive } from "../api/live";
import { SERIES_BY, SERIES_TOP, useFlows, useSeries, useStatus, useTopology } from "../api/queries";
import type { Status } from "../api/types";
import { preloadChart, TrafficChart } from "../chart/TrafficChart";
import { useKeys } from "../common/keys";
import { Panel } from "../common/Panel";
import { PanelMenu } from "../common/PanelMenu";
import { Troubles } from "../common/Troubles";
import { ValueMenuProvider } from "../common/ValueMenu";
import { Chips } from "../filter/Chips";
import { FilterBar } from "../filter/FilterBar";
import { merged } from "../flows/rows";
import { coveredSeconds } from "../format/edge";
import type { Newest } from "../format/summary";
import { zone } from "../format/units";
import { DatasetChoice } from "../frame/DatasetChoice";
import { CompletenessBadge } from "../frame/CompletenessBadge";
import { LiveSwitch, Masthead, ShareButton } from "../frame/Masthead";
import { TimeRange } from "../frame/TimeRange";
import { TrafficMap } from "../map/TrafficMap";
import { NodeTroubles } from "../nodes/NodeNotes";
import { COMPLETENESS } from "../state/open";
import { moved } from "../state/range";
import { narrowed } from "../state/terms";
import { shareLink, useView } from "../state/view";
import { FlowsPanel } from "./FlowsPanel";
import { OpenDrawer } from "./OpenDrawer";
import { Summary } from "./Summary";
import { NoMatch, Waiting } from "./Waiting";

export function TrafficPage() {
  const [view, onView] = useView();
  const client = useQueryClient();
  const input = useRef<HTMLInputElement>(null);
  const question = JSON.stringify([view.filter, view.since, view.from, view.to, view.dataset]);

  useEffect(preloadChart, []);
  const status = useStatus();
  const flows = useFlows(view);
  const series = useSeries(view);
  const topology = useTopology(view);
  const live = useLive(view.live && !view.dataset, view.filter);
  const rows = useMemo(() => merged(flows.data, live.rows), [flows.data, live.rows]);
  const oldestMs = view.dataset ? undefined : status.data?.store.oldest_ms;
  const newest = view.dataset || view.from !== undefined ? undefined : newestOf(status.data);
  const seconds = topology.data ? coveredSeconds(topology.data.window, oldestMs) : 1;

  const onOpen = useCallback((open: string) => onView({ open }), [onView]);
  const onRange = useCallback((from: number, to: number) => onView({ from, to, live: false }), [onView]);
  const step = (steps: number) => onView({ ...moved(view, steps, Date.now()), live: false });
  useKeys({
    "/": (event) => {
      event.preventDefault();
      input.current?.focus();
      input.current?.select();
    },
    Escape: () => view.open && onView({ open: "" }),
    "[": () => step(-1),
    "]": () => view.from !== undefined && step(1),
  });

  const nothing = flows.data?.matched === 0 && rows.length === 0;
  const waiting = nothing && status.data && !view.dataset && !status.data.store.newest_ms;
  return (
    <ValueMenuProvider onNarrow={(term) => onView({ filter: narrowed(view.filter, term) })}>
      <a className="fg-skip" href="#fg-main">
        Skip to the traffic
      </a>
      <Masthead page="traffic" status={status.data}>
        <LiveSwitch live={view.live} canBeLive={view.from === undefined && !view.dataset} answers={!flows.error || isFilterProblem(flows.error)} state={live.state} onLive={(on) => onView({ live: on })} />
        <CompletenessBadge completeness={flows.error ? undefined : flows.data?.completeness} onClick={() => onView({ open: view.open === COMPLETENESS ? "" : COMPLETENESS })} />
        <ShareButton link={() => shareLink(view, flows.data?.window)} />
      </Masthead>
      <div className="fg-ask">
        <FilterBar view={view} input={input} onFilter={(filter) => onView({ filter })} />
        <DatasetChoice view={view} onView={onView} />
        <TimeRange view={view} onView={onView} refreshing={flows.isFetching && !view.live} onRefresh={() => void client.invalidateQueries()} />
      </div>
      <Chips filter={view.filter} onFilter={(filter) => onView({ filter })} />
      <div className={`fg-page ${view.open ? "fg-page-drawer" : ""}`}>
        <main id="fg-main" className="fg-main" tabIndex={-1}>
          <Summary topology={topology.data} unread={isFilterProblem(topology.error)} old={topology.outage} seconds={seconds} sampling={flows.data?.sampling ?? ""} newest={newest} onBetween={() => onView({ tab: "between" })}>
            {topology.data && <Troubles topology={topology.data} view={view} onView={onView} />}
            <NodeTroubles view={view} />
          </Summary>
          {waiting ? (
            <Waiting status={status.data} />
          ) : nothing && !flows.error ? (
            <NoMatch view={view} status={status.data} onView={onView} />
          ) : (
            <>
              <Panel title="Traffic" words={`bytes/s, times in ${zone(Date.now())}; drag to zoom`} answer={series} className="fg-panel-chart"
                actions={<PanelMenu view={view} path="series" params={{ ...SERIES_BY, measure: "bytes", top: SERIES_TOP }} options="--by src_owner,dst_owner --top bytes" rows={() => seriesRows(series.data)} />}>
                {(answer) => <TrafficChart answer={answer} question={question} oldestMs={oldestMs} topology={topology.data} onRange={onRange} />}
              </Panel>
              <Panel title="Map" words="who talks to whom; lines end at the server's port" answer={topology} className="fg-panel-map">
                {(answer) => <TrafficMap topology={answer} question={question} seconds={seconds} open={view.open} onOpen={onOpen} />}
              </Panel>
              <FlowsPanel view={view} onView={onView} question={question} flows={flows} topology={topology} rows={rows} seconds={seconds} />
            </>
          )}
        </main>
        <OpenDrawer view={view} onView={onView} topology={topology.data} oldestMs={oldestMs} seconds={seconds} rowOf={(key) => rows.find((one) => one.key === key)?.row} />
      </div>
    </ValueMenuProvider>
  );
} // prettier-ignore

/** Both times of one answer: those of two, asked apart, would say that no flow comes where the page was only asleep. */
function newestOf(status: Status | undefined): Newest | undefined {
  const endedMs = status?.store.newest_ms;
  return status && endedMs ? { endedMs, askedMs: status.now_ms } : undefined;
}

/** One row a bin and pair, for files. */
function seriesRows(answer: { times_ms: number[]; series: { key: object; values: number[] }[] } | undefined): Record<string, unknown>[] {
  return (answer?.series ?? []).flatMap((one) => one.values.map((bytes, i) => ({ time: new Date(answer?.times_ms[i] ?? 0).toISOString(), ...one.key, bytes })));
}
