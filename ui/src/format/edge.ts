// SPDX-License-Identifier: Apache-2.0
// What an edge of the map means: its rate, its health, its sentence, and the filter that picks its flows.
import type { Addresses, Topology, TopologyEdge, TopologyNode, WindowMs } from "../api/types";
import { term } from "../state/terms";
import { plain } from "./flow";
import { portWords } from "./ports";
import { bytes, counted, rate } from "./units";

/** Seconds of a window that hold flows: a store younger than the window has nothing before its first flow. */
export function coveredSeconds(window: WindowMs, oldestMs: number | undefined): number {
  const from = oldestMs ? Math.max(window.from_ms, Math.min(oldestMs, window.to_ms)) : window.from_ms;
  return Math.max(1, (window.to_ms - from) / 1000);
}

export const edgeRate = (edge: TopologyEdge, seconds: number): number => edge.bytes / seconds;

export type Health = "fine" | "over" | "slow" | "failing";

/** How it goes now, by its gravest trouble, which is the first. What is too small to be felt is fine. */
export function healthOf({ troubles: [first] }: Pick<TopologyEdge, "troubles">): Health {
  if (!first || first.gravity === "small") return "fine";
  return first.over ? "over" : first.gravity;
}

/** Whether something goes wrong now. */
export const isIll = (edge: Pick<TopologyEdge, "troubles">): boolean => ["slow", "failing"].includes(healthOf(edge));

/** A node of the map in words: `postgresql (flow-demo)`. */
export function nodeWords(node: TopologyNode | undefined, id = ""): string {
  if (!node) return id.split("/").at(-1) ?? id;
  if (node.kind === "unknown") return `${reachWords(node)} without a name`;
  return node.namespace ? `${plain(node.owner)} (${node.namespace})` : plain(node.owner);
}

const REACHES: Record<string, string> = { Public: "public", Private: "private" };

/** What is known of addresses without a name: `public addresses`. */
export const reachWords = ({ owner_kind }: Pick<TopologyNode, "owner_kind">): string => [REACHES[owner_kind], "addresses"].filter(Boolean).join(" ");

/** The largest of them: `203.0.113.9, 203.0.113.10 and 4 others`; empty for an end with a name. */
export function addressWords({ largest, count: all }: Addresses, most = largest.length): string {
  const named = largest.slice(0, most);
  const others = all - named.length;
  return named.join(", ") + (others > 0 ? ` and ${counted(others, "other")}` : "");
}

export function edgeSentence(edge: TopologyEdge, src: string, dst: string, seconds: number): string {
  const about = edge.approx ? "about " : "";
  const both = `${bytes(edge.bytes_to_server)} to the server and ${bytes(edge.bytes_to_client)} back`;
  const talks = edge.src_addrs.count ? "talk" : "talks";
  return `${src} ${talks} to ${dst} over ${portWords(edge.dst_port, edge.proto, edge.asked_ports)}: ${about}${both}, ${rate(edgeRate(edge, seconds))} on average, in ${counted(edge.flows, "flow")}.`;
}

type Nodes = Pick<Topology, "nodes">;

/** Columns that name peers, by the kind of the node that goes by them. */
const PEERS: Record<string, string> = { DNS: "dns_name", Subnet: "subnet" };

/** The filter terms that mean one end of a flow to be this node of a map: what has a name from DNS is not called by its subnet. */
export function endTerms(node: TopologyNode, end: "src" | "dst", { nodes }: Nodes): string[] {
  const without = (parts: readonly string[]): string[] => parts.map((part) => `not ${end}_${part} ~ "."`);
  const dns = nodes.some((one) => one.owner_kind === "DNS") ? ["dns_name"] : [];
  if (node.kind === "unknown") {
    const reach = REACHES[node.owner_kind];
    const of = reach ? [term(`${end}_addr`, reach)] : Object.values(REACHES).map((one) => `not ${term(`${end}_addr`, one)}`);
    return [...of, ...without(["owner", "name", ...dns, "subnet"])];
  }
  if (node.kind === "workload") return [term(`${end}_namespace`, node.namespace), term(`${end}_owner`, node.owner)];
  return [term(`${end}_${PEERS[node.owner_kind] ?? "name"}`, node.owner), ...without(node.owner_kind === "Subnet" ? dns : [])];
}

/** The filter for all flows of a node, in both directions. */
export const nodeFilter = (node: TopologyNode, map: Nodes): string => (["src", "dst"] as const).map((end) => `(${endTerms(node, end, map).join(" and ")})`).join(" or ");

/** The port at which the server listens: that of its end, unless the flow has another one there and tells where it leads. */
function servedOn(server: "src" | "dst", port: number, asked: readonly number[]): string {
  const own = term(`${server}_port`, port);
  return asked.length === 0 ? own : `(${own} or ${term("target_port", port)})`;
}

/** The filter for the flows of an edge, in both directions: also those that tell the port that clients ask for. */
export function edgeFilter(edge: Pick<TopologyEdge, "dst_port" | "asked_ports" | "proto">, src: TopologyNode, dst: TopologyNode, map: Nodes): string {
  const one = (client: "src" | "dst", server: "src" | "dst") => {
    const port = edge.dst_port === null ? [] : [servedOn(server, edge.dst_port, edge.asked_ports)];
    return `(${[...endTerms(src, client, map), ...endTerms(dst, server, map), ...port, term("proto", edge.proto)].join(" and ")})`;
  };
  return `${one("src", "dst")} or ${one("dst", "src")}`;
}
