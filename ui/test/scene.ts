// SPDX-License-Identifier: Apache-2.0
// Pieces of the demo's story for tests.
import { afterEach, beforeEach, vi } from "vitest";
import type { Topology, TopologyEdge, TopologyNode, Trouble } from "../src/api/types";

/** Tests around this call run at that time: times of its day are said without the day. */
export function onTheDayOf(ms: number): void {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"], now: ms }));
  afterEach(() => void vi.useRealTimers());
}

export function node(namespace: string, owner: string, kind = "Deployment"): TopologyNode {
  return { id: `${namespace}/${kind}/${owner}`, namespace, owner, owner_kind: kind, kind: namespace ? "workload" : "peer", layer: "app", ports: [] };
}

export const trouble = (kind: Trouble["kind"], more: Partial<Trouble> = {}): Trouble => ({
  kind, words: kind, cause: "", count: 1, advice: "", since_ms: 0, last_ms: 0, gravity: "failing", over: false, ...more,
}); // prettier-ignore

export function edge(src: TopologyNode, dst: TopologyNode, port: number | null, proto = 6): TopologyEdge {
  return {
    src: src.id, dst: dst.id, dst_port: port, asked_ports: [], dst_service: "", proto, bytes: 1000, packets: 10, flows: 1, rate_bps: 0, bytes_to_server: 400,
    bytes_to_client: 600, retransmits: 0, drop_packets: 0, rtt_avg_ns: null, approx: false, error: 0, troubles: [], crossing: "",
    src_addrs: { largest: [], count: 0 }, dst_addrs: { largest: [], count: 0 },
  }; // prettier-ignore
}

/** An answer of the API with these edges; nodes get the ports that the edges reach. */
export function topologyOf(nodes: TopologyNode[], edges: TopologyEdge[]): Topology {
  const withPorts = nodes.map((one) => {
    const ports = new Map(edges.filter((each) => each.dst === one.id && each.dst_port !== null).map((each) => [`${each.dst_port}/${each.proto}`, each]));
    return { ...one, ports: [...ports.values()].map((each) => ({ port: each.dst_port as number, proto: each.proto, service: "", asked_ports: each.asked_ports })) };
  });
  return { nodes: withPorts, edges, edge_count: edges.length, others: {}, troubled: [], crossing: "", unseen: "", window: { from_ms: 0, to_ms: 900_000 } };
}

export const OFFICE = node("", "EXT:office", "Subnet");
export const DJANGO = node("flow-demo", "django-psql-example");
export const POSTGRES = node("flow-demo", "postgresql");
export const DNS = node("openshift-dns", "dns-default", "DaemonSet");
export const BATCH = node("other-team", "batch-import");
export const NODE_A = { ...node("", "node-a", "Node"), layer: "infra" };

export const FLOW_DEMO: Topology = topologyOf(
  [OFFICE, DJANGO, POSTGRES, DNS, BATCH, NODE_A],
  [edge(OFFICE, DJANGO, 8080), edge(DJANGO, POSTGRES, 5432), edge(DJANGO, DNS, 53, 17), edge(BATCH, POSTGRES, 5432), edge(NODE_A, DJANGO, 8080)],
);
