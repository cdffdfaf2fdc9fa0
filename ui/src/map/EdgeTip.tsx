// SPDX-License-Identifier: Apache-2.0
// The numbers of an edge beside the pointer; the same are in the drawer.
import type { TopologyEdge } from "../api/types";
import { errorWords } from "../common/Approx";
import { addressWords, edgeRate } from "../format/edge";
import { portWords } from "../format/ports";
import { bytes, count, duration, rate } from "../format/units";

const WIDTH = 270;

interface Props {
  edge: TopologyEdge;
  src: string;
  dst: string;
  seconds: number;
  x: number;
  y: number;
}

export function EdgeTip({ edge, src, dst, seconds, x, y }: Props) {
  const approx = edge.approx ? "≈\u202f" : "";
  const left = Math.max(8, Math.min(x + 14, innerWidth - WIDTH - 8));
  const below = y + 230 < innerHeight;
  return (
    <div className="fg-tip" style={{ left, width: WIDTH, ...(below ? { top: y + 14 } : { bottom: innerHeight - y + 14 }) }} role="status">
      <p className="fg-tip-title">
        {src} → {dst}
      </p>
      <p className="fg-tip-sub">{portWords(edge.dst_port, edge.proto, edge.asked_ports)}</p>
      {edge.src_addrs.count > 0 && <p className="fg-tip-sub">from {addressWords(edge.src_addrs)}</p>}
      {edge.dst_addrs.count > 0 && <p className="fg-tip-sub">to {addressWords(edge.dst_addrs)}</p>}
      <dl>
        <dt>on average</dt>
        <dd>{approx + rate(edgeRate(edge, seconds))}</dd>
        <dt>to the server</dt>
        <dd>{approx + bytes(edge.bytes_to_server)}</dd>
        <dt>to the client</dt>
        <dd>{approx + bytes(edge.bytes_to_client)}</dd>
        <dt>packets</dt>
        <dd>{approx + count(edge.packets)}</dd>
        {edge.rtt_avg_ns !== null && (
          <>
            <dt>round trip</dt>
            <dd>{duration(edge.rtt_avg_ns)}</dd>
          </>
        )}
        {edge.retransmits > 0 && (
          <>
            <dt>sent again</dt>
            <dd>{count(edge.retransmits)}</dd>
          </>
        )}
        {edge.drop_packets > 0 && (
          <>
            <dt>dropped</dt>
            <dd>{count(edge.drop_packets)}</dd>
          </>
        )}
      </dl>
      {edge.approx && <p className="fg-tip-sub">{errorWords(edge.error)}</p>}
    </div>
  );
}
