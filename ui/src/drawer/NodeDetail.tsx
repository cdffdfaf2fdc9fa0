// SPDX-License-Identifier: Apache-2.0
// One workload or peer: what it serves, whom it serves, and what it asks of others.
import { Button } from "@patternfly/react-core";
import FilterIcon from "@patternfly/react-icons/dist/esm/icons/filter-icon";
import type { Topology, TopologyEdge, TopologyNode } from "../api/types";
import { Approx } from "../common/Approx";
import { edgeRate, nodeFilter, nodeWords } from "../format/edge";
import { portText, portWords } from "../format/ports";
import { bytes, counted, rate } from "../format/units";
import { edgeKey } from "../state/open";
import { narrowed } from "../state/terms";
import type { Change, View } from "../state/view";
import { Section } from "./Drawer";

interface Props {
  node: TopologyNode;
  topology: Topology;
  seconds: number;
  view: View;
  onView: Change;
}

export function NodeDetail({ node, topology, seconds, view, onView }: Props) {
  const names = new Map(topology.nodes.map((one) => [one.id, nodeWords(one)]));
  const name = (id: string) => names.get(id) ?? id;
  const serves = topology.edges.filter((edge) => edge.dst === node.id);
  const asks = topology.edges.filter((edge) => edge.src === node.id);
  const open = (edge: TopologyEdge) => onView({ open: edgeKey(edge) });
  return (
    <>
      <p className="fg-sentence">{nodeSentence(node, serves, asks)}</p>
      <Button variant="secondary" size="sm" icon={<FilterIcon />} onClick={() => onView({ filter: narrowed(view.filter, `(${nodeFilter(node, topology)})`) })}>
        Show only its traffic
      </Button>
      {node.ports.length > 0 && (
        <Section title="Serves on">
          <p className="fg-ports">
            {node.ports.map((port) => (
              <span key={`${port.port}/${port.proto}`} className="fg-port-chip">
                {portWords(port.port, port.proto, port.asked_ports)}
                {port.service && <span className="fg-context"> service {port.service}</span>}
              </span>
            ))}
          </p>
        </Section>
      )}
      <Edges title="Its clients" edges={serves} nameOf={(edge) => name(edge.src)} seconds={seconds} onOpen={open} />
      <Edges title="Its servers" edges={asks} nameOf={(edge) => name(edge.dst)} seconds={seconds} onOpen={open} />
    </>
  );
}

function nodeSentence(node: TopologyNode, serves: readonly TopologyEdge[], asks: readonly TopologyEdge[]): string {
  const sum = [...serves, ...asks].reduce((all, edge) => all + edge.bytes, 0);
  const kind = node.kind === "workload" ? `, a ${node.owner_kind},` : "";
  const about = [...serves, ...asks].some((edge) => edge.approx) ? "about " : "";
  const [clients, servers] = [new Set(serves.map((edge) => edge.src)).size, new Set(asks.map((edge) => edge.dst)).size];
  const does = [clients && `serves ${counted(clients, "client")}`, servers && `asks ${counted(servers, "server")}`].filter(Boolean).join(" and ");
  return `${nodeWords(node)}${kind} ${does || "was quiet"}: ${about}${bytes(sum)} in this time range.`;
}

interface EdgesProps {
  title: string;
  edges: TopologyEdge[];
  nameOf: (edge: TopologyEdge) => string;
  seconds: number;
  onOpen: (edge: TopologyEdge) => void;
}

function Edges({ title, edges, nameOf, seconds, onOpen }: EdgesProps) {
  if (edges.length === 0) return null;
  return (
    <Section title={title}>
      <ul className="fg-links">
        {edges.map((edge) => (
          <li key={edgeKey(edge)}>
            <button type="button" className="fg-link" onClick={() => onOpen(edge)}>
              <span className="fg-link-name">{nameOf(edge)}</span>
              <span className="fg-context">{portText(edge.dst_port, edge.proto, edge.asked_ports)}</span>
              <span className="fg-link-number">
                <Approx text={rate(edgeRate(edge, seconds))} approx={edge.approx} error={edge.error} />
              </span>
            </button>
          </li>
        ))}
      </ul>
    </Section>
  );
}
