// SPDX-License-Identifier: Apache-2.0
// One node: what to look at, every counter in words, its interfaces, and where its traffic is.
import type { NodeCongestion, NodesHistory } from "../api/types";
import { Section } from "../drawer/Drawer";
import { count, dateTime } from "../format/units";
import { follow } from "../state/address";
import { exportersLink } from "../state/exporters";
import { term } from "../state/terms";
import { trafficLink, type View } from "../state/view";
import { NodeHistory } from "./NodeHistory";
import { isSilent, trackingWords } from "./signs";
import { SignLines } from "./SignLines";

const COUNTERS: readonly [string, string][] = [
  ["listen_overflows", "Connections that found a listener's queue full"],
  ["tcp_backlog_overflows", "Segments that found a socket's backlog full"],
  ["tcp_receive_overflows", "Segments that found a socket's receive queue full"],
  ["udp_receive_overflows", "Datagrams that found a receive buffer full"],
  ["udp_send_overflows", "Datagrams that found a send buffer full"],
  ["cpu_dropped_packets", "Packets that found a CPU's queue full"],
  ["cpu_squeezed", "Times a CPU left packets for its next turn (usual)"],
];

const OF_DEVICES: readonly [string, string][] = [
  ["device_in_dropped_packets", "In, dropped"],
  ["device_out_dropped_packets", "Out, dropped"],
  ["device_in_error_packets", "In, errors"],
  ["device_out_error_packets", "Out, errors"],
];

interface Props {
  one: NodeCongestion;
  endMs: number;
  view: View;
  /** Of all nodes; undefined: there is none yet. */
  history: NodesHistory | undefined;
}

export function NodeCounters({ one, endMs, view, history }: Props) {
  const ofNode = term("node", one.node);
  const range = { since: view.since, from: view.from, to: view.to, live: view.live };
  return (
    <>
      {one.signs.length > 0 || isSilent(one, endMs) ? <SignLines one={one} endMs={endMs} /> : <p className="fg-sentence">{one.node} dropped nothing and had room for everything.</p>}
      <p className="fg-node-ways">
        <a href={trafficLink({ ...range, filter: ofNode })} onClick={follow}>Its traffic</a>
        <a href={trafficLink({ ...range, filter: `${ofNode} and drop_packets > 0` })} onClick={follow}>Flows with dropped packets</a>
        <a href={exportersLink({ find: one.node })} onClick={follow}>Its agent</a>
      </p>
      {history && <NodeHistory node={one.node} answer={history} view={view} />}
      <Section title="In this time range">
        <dl className="fg-facts fg-node-facts">
          <Fact title="Most entries of connection tracking">{trackingWords(one)}</Fact>
          {COUNTERS.map(([name, title]) => <Fact key={name} title={title}>{count(one.counters[name] ?? 0)}</Fact>)}
          <Fact title="Heard last">{dateTime(one.told_ms)}</Fact>
        </dl>
        <p className="fg-context">Queues are those of the node's own network: sockets of pods count in the pods' networks and are not here.</p>
      </Section>
      <Devices one={one} />
    </>
  );
} // prettier-ignore

function Fact({ title, children }: { title: string; children: string }) {
  return (
    <div>
      <dt>{title}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Devices({ one }: { one: NodeCongestion }) {
  const devices = Object.entries(one.devices);
  return (
    <Section title="Interfaces">
      {devices.length === 0 ? (
        <p className="fg-context">None dropped or failed to pass on a packet.</p>
      ) : (
        <table className="fg-counters">
          <thead>
            <tr><th scope="col">Interface</th>{OF_DEVICES.map(([name, title]) => <th key={name} scope="col" className="fg-number">{title}</th>)}</tr>
          </thead>
          <tbody>
            {devices.map(([device, moved]) => (
              <tr key={device}>
                <th scope="row">{device}</th>
                {OF_DEVICES.map(([name]) => <td key={name} className="fg-number">{count(moved[name] ?? 0)}</td>)}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Section>
  );
} // prettier-ignore
