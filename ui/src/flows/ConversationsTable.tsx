// SPDX-License-Identifier: Apache-2.0
// The edges of the map as a table: each client and server once, both directions together. Also for those who cannot see the map.
import LongArrowIcon from "@patternfly/react-icons/dist/esm/icons/long-arrow-alt-right-icon";
import { useMemo } from "react";
import type { Addresses, Topology, TopologyEdge, TopologyNode } from "../api/types";
import { Approx } from "../common/Approx";
import { OpenRow, RowTable } from "../common/RowTable";
import { Value } from "../common/ValueMenu";
import { addressWords, edgeFilter, edgeRate, edgeSentence, healthOf, isIll, nodeFilter, nodeWords } from "../format/edge";
import { plain } from "../format/flow";
import { nameOfPorts, portText } from "../format/ports";
import { bytes, count, duration, rate } from "../format/units";
import { isOutside, nodeTitle } from "../map/graph";
import { edgeKey } from "../state/open";

interface Props {
  topology: Topology;
  seconds: number;
  cursor: string;
  open: string;
  onOpen: (key: string) => void;
}

export function ConversationsTable({ topology, seconds, cursor, open, onOpen }: Props) {
  const nodes = useMemo(() => new Map(topology.nodes.map((node) => [node.id, node])), [topology]);
  const largest = Math.max(1, ...topology.edges.map((edge) => edge.bytes));
  return (
    <RowTable
      cursor={cursor}
      below={topology.edges.length === 0 && <p className="fg-table-none">No conversation of this kind in this time range. A longer range may show one.</p>}
      head={
        <>
          <th scope="col" className="fg-from">Client</th>
          <th scope="col" className="fg-col-arrow" aria-label="to" />
          <th scope="col">Server</th>
          <th scope="col" className="fg-port-cell">Port</th>
          <th scope="col" className="fg-number">Rate</th>
          <th scope="col" className="fg-number fg-wide-cell">To server</th>
          <th scope="col" className="fg-number fg-wide-cell">To client</th>
          <th scope="col" className="fg-number fg-wide-cell">Packets</th>
          <th scope="col" className="fg-number fg-phone-less">Flows</th>
          <th scope="col" className="fg-number fg-wide-cell">Round trip</th>
          <th scope="col" className="fg-wide-cell">Remarks</th>
        </>
      }
    >
      {topology.edges.map((edge) => {
        const [src, dst, key] = [nodes.get(edge.src), nodes.get(edge.dst), edgeKey(edge)];
        return src && dst && <Conversation key={key} edge={edge} src={src} dst={dst} topology={topology} seconds={seconds} share={edge.bytes / largest} cursor={key === cursor} open={key === open} onOpen={() => onOpen(key)} />;
      })}
    </RowTable>
  );
} // prettier-ignore

interface RowProps {
  edge: TopologyEdge;
  src: TopologyNode;
  dst: TopologyNode;
  topology: Topology;
  seconds: number;
  /** Of the largest conversation. */
  share: number;
  cursor: boolean;
  open: boolean;
  onOpen: () => void;
}

function Conversation({ edge, src, dst, topology, seconds, share, cursor, open, onOpen }: RowProps) {
  const { approx, error } = edge;
  const remark = isIll(edge) ? "fg-bad" : "fg-context";
  return (
    <OpenRow title={edgeSentence(edge, nodeWords(src), nodeWords(dst), seconds)} cursor={cursor} open={open} onOpen={onOpen}>
      <td className="fg-from"><NodeCell node={src} addresses={edge.src_addrs} topology={topology} /></td>
      <td className="fg-col-arrow"><LongArrowIcon aria-label="to" /></td>
      <td><NodeCell node={dst} addresses={edge.dst_addrs} topology={topology} /></td>
      <td className="fg-port-cell">
        <Value column="port" value={edge.dst_port ?? ""} filter={edgeFilter(edge, src, dst, topology)}>{portText(edge.dst_port, edge.proto, edge.asked_ports)}</Value>
        <span className="fg-context fg-port-name">{nameOfPorts(edge.dst_port, edge.asked_ports)}</span>
      </td>
      <td className="fg-number fg-rate">
        <Approx text={rate(edgeRate(edge, seconds))} approx={approx} error={error} />
        <i className="fg-share" style={{ width: `${Math.max(1, share * 100)}%` }} aria-hidden />
      </td>
      <td className="fg-number fg-wide-cell"><Approx text={bytes(edge.bytes_to_server)} approx={approx} error={error} /></td>
      <td className="fg-number fg-wide-cell"><Approx text={bytes(edge.bytes_to_client)} approx={approx} error={error} /></td>
      <td className="fg-number fg-wide-cell"><Approx text={count(edge.packets)} approx={approx} error={error} /></td>
      <td className="fg-number fg-phone-less">{count(edge.flows)}</td>
      <td className="fg-number fg-wide-cell">{edge.rtt_avg_ns === null ? <span className="fg-context">–</span> : duration(edge.rtt_avg_ns)}</td>
      <td className="fg-wide-cell fg-remarks">
        {edge.drop_packets > 0 && <span className={remark}>{count(edge.drop_packets)} dropped</span>}
        {edge.retransmits > 0 && <span className={remark}>{count(edge.retransmits)} sent again</span>}
        {healthOf(edge) === "over" && <span className="fg-context">over</span>}
      </td>
    </OpenRow>
  );
} // prettier-ignore

function NodeCell({ node, addresses, topology }: { node: TopologyNode; addresses: Addresses; topology: Topology }) {
  const context = node.kind === "unknown" ? addressWords(addresses, 1) : node.namespace || (isOutside(node) ? "outside" : node.owner_kind.toLowerCase());
  return (
    <span className="fg-end">
      <Value column="name" value={plain(node.owner) || nodeTitle(node)} filter={nodeFilter(node, topology)} className="fg-end-name" title={nodeTitle(node)}>
        {nodeTitle(node)}
      </Value>
      {node.namespace ? <Value column="namespace" value={node.namespace} className="fg-context" /> : <span className="fg-context">{context}</span>}
    </span>
  );
}

