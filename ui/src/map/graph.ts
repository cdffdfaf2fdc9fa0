// SPDX-License-Identifier: Apache-2.0
// What the map shows: nodes in their boxes and edges between them, from the API's answer. After this: layout.
import type { NodePort, Topology, TopologyEdge, TopologyNode } from "../api/types";
import { reachWords } from "../format/edge";
import { plain } from "../format/flow";
import { edgeKey } from "../state/open";

/** Boxes that are no namespace; a namespace's name has no blank. */
export const OUTSIDE = " outside";
export const NODES = " nodes";

export interface MapNode {
  id: string;
  box: string;
  title: string;
  subtitle: string;
  layer: string;
  ports: NodePort[];
}

export interface MapEdge {
  id: string;
  src: string;
  dst: string;
  data: TopologyEdge;
}

export interface Graph {
  nodes: MapNode[];
  edges: MapEdge[];
}

export const isOutside = (node: TopologyNode): boolean => node.kind === "unknown" || (node.kind === "peer" && node.owner_kind !== "Node");

function boxOf(node: TopologyNode): string {
  if (isOutside(node)) return OUTSIDE;
  return node.namespace || NODES;
}

export function boxTitle(box: string): string {
  return box === OUTSIDE ? "outside the cluster" : box === NODES ? "nodes" : box;
}

export function nodeTitle(node: TopologyNode | undefined): string {
  if (node === undefined) return "no name known";
  return node.kind === "unknown" ? reachWords(node) : plain(node.owner);
}

function subtitle(node: TopologyNode): string {
  if (node.kind === "unknown") return "no name known";
  return { Subnet: "subnet", DNS: "name from DNS" }[node.owner_kind] ?? node.owner_kind;
}

/** The graph of an answer; edges whose ends the answer lacks are left out. */
export function graphOf(topology: Topology | undefined): Graph {
  const nodes = (topology?.nodes ?? []).map((node) => ({
    id: node.id,
    box: boxOf(node),
    title: nodeTitle(node),
    subtitle: subtitle(node),
    layer: node.layer,
    ports: node.ports,
  }));
  const ids = new Set(nodes.map((node) => node.id));
  const edges = (topology?.edges ?? [])
    .filter((edge) => ids.has(edge.src) && ids.has(edge.dst))
    .map((edge) => ({ id: edgeKey(edge), src: edge.src, dst: edge.dst, data: edge }));
  return { nodes, edges };
}

/** The graph of now together with what was there before, so that nothing moves when a quiet edge leaves for a while. */
export function united(before: Graph, now: Graph): Graph {
  const nodes = new Map(before.nodes.map((node) => [node.id, node]));
  for (const node of now.nodes) {
    const ports = new Map([...(nodes.get(node.id)?.ports ?? []), ...node.ports].map((port) => [`${port.port}/${port.proto}`, port]));
    nodes.set(node.id, { ...node, ports: [...ports.values()] });
  }
  const edges = new Map([...before.edges, ...now.edges].map((edge) => [edge.id, edge]));
  return { nodes: [...nodes.values()], edges: [...edges.values()] };
}

/** Changes only when the layout must: which nodes, ports and edges there are, and which labels need more room. */
export function shapeOf(graph: Graph): string {
  const nodes = graph.nodes.map((node) => `${node.id}:${node.ports.map((port) => `${port.port}/${port.proto}`).sort()}`);
  return [...nodes.sort(), "", ...graph.edges.map((edge) => `${edge.id}${edge.data.asked_ports}${edge.data.approx ? "≈" : ""}`).sort()].join("\n");
}
