// SPDX-License-Identifier: Apache-2.0
// One conversation: as a sentence, its numbers each way, its traffic over time, its newest flows.
import { Button, Skeleton } from "@patternfly/react-core";
import FilterIcon from "@patternfly/react-icons/dist/esm/icons/filter-icon";
import { useFlows, useSeries } from "../api/queries";
import type { Row, Topology, TopologyEdge, TopologyNode } from "../api/types";
import { TrafficChart } from "../chart/TrafficChart";
import { Approx } from "../common/Approx";
import { TroubleWords } from "../common/Troubles";
import { addressWords, edgeFilter, edgeRate, edgeSentence, nodeWords } from "../format/edge";
import { endMs, endName, flowKey, isScaled, nodesOf, packetError, scaledBytes, servedPort } from "../format/flow";
import { bytes, count, duration, rate, timeOfDay } from "../format/units";
import { NodeNotes } from "../nodes/NodeNotes";
import { PacketsLink } from "../packets/PacketsLink";
import { packetsLink } from "../state/packets";
import { narrowed } from "../state/terms";
import type { Change, View } from "../state/view";
import { Section } from "./Drawer";

interface Props {
  edge: TopologyEdge;
  src: TopologyNode;
  dst: TopologyNode;
  topology: Topology;
  oldestMs: number | undefined;
  seconds: number;
  view: View;
  onView: Change;
}

const FLOWS_SHOWN = 12;

export function EdgeDetail({ edge, src, dst, topology, oldestMs, seconds, view, onView }: Props) {
  const filter = edgeFilter(edge, src, dst, topology);
  const own: View = { ...view, filter };
  const series = useSeries(own);
  const rows = useFlows(own).data?.rows;
  return (
    <>
      <p className="fg-sentence">{edgeSentence(edge, nodeWords(src), nodeWords(dst), seconds)}</p>
      {edge.troubles.map((one, i) => (
        <TroubleWords key={one.words} one={one} endMs={topology.window.to_ms} advised={edge.troubles[i + 1]?.advice !== one.advice} className={one.over || one.gravity === "small" ? "fg-trouble-said" : "fg-trouble-said fg-bad"} />
      ))}
      <NodeNotes names={nodesOf(rows ?? [])} view={view} />
      <Button variant="secondary" size="sm" icon={<FilterIcon />} onClick={() => onView({ filter: narrowed(view.filter, `(${filter})`) })}>
        Show only this conversation
      </Button>{" "}
      {!view.dataset && <PacketsLink href={packetsLink({ filter })} />}
      <Section title="Over time">
        <div className="fg-drawer-chart">
          {series.data ? <TrafficChart answer={series.data} question={filter} oldestMs={oldestMs} topology={topology} onRange={(from, to) => onView({ from, to, live: false })} /> : <Skeleton height="100%" screenreaderText="Loading the chart" />}
        </div>
      </Section>
      <Numbers edge={edge} seconds={seconds} />
      <Section title="Newest flows">
        <Flows rows={rows} onOpen={(open) => onView({ open })} />
      </Section>
    </>
  );
}

function Numbers({ edge, seconds }: { edge: TopologyEdge; seconds: number }) {
  const { approx, error } = edge;
  const figure = (text: string) => <Approx text={text} approx={approx} error={error} />;
  const facts: [string, React.ReactNode][] = [
    ["On average", figure(rate(edgeRate(edge, seconds)))],
    ["To the server", figure(bytes(edge.bytes_to_server))],
    ["To the client", figure(bytes(edge.bytes_to_client))],
    ["Packets", figure(count(edge.packets))],
    ["Flows", count(edge.flows)],
    ["Round trip", edge.rtt_avg_ns === null ? "not measured" : duration(edge.rtt_avg_ns)],
    ["Sent again", count(edge.retransmits)],
    ["Dropped", count(edge.drop_packets)],
    ["Service", edge.dst_service || "none"],
    ...(edge.src_addrs.count ? [["Most from", addressWords(edge.src_addrs)] as [string, string]] : []),
    ...(edge.dst_addrs.count ? [["Most to", addressWords(edge.dst_addrs)] as [string, string]] : []),
  ];
  return (
    <Section title="In this time range">
      <dl className="fg-facts">
        {facts.map(([title, value]) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </Section>
  );
}

function Flows({ rows, onOpen }: { rows: readonly Row[] | undefined; onOpen: (key: string) => void }) {
  if (!rows) return <Skeleton height="120px" screenreaderText="Loading the flows" />;
  if (rows.length === 0) return <p className="fg-context">None in this time range.</p>;
  return (
    <ul className="fg-links">
      {rows.slice(0, FLOWS_SHOWN).map((row) => {
        const { port, end } = servedPort(row);
        return (
          <li key={flowKey(row)}>
            <button type="button" className="fg-link" onClick={() => onOpen(flowKey(row))}>
              <span className="fg-context">{timeOfDay(endMs(row))}</span>
              <span className="fg-link-name">
                {endName(row, "src").label} → {endName(row, "dst").label}
                {port !== null && <span className="fg-context">{end === "src" ? ` from ${port}` : ` to ${port}`}</span>}
              </span>
              <span className="fg-link-number"><Approx text={bytes(scaledBytes(row))} approx={isScaled(row)} error={packetError(row)} /></span>
            </button>
          </li>
        );
      })}
    </ul>
  );
} // prettier-ignore
