// SPDX-License-Identifier: Apache-2.0
// Traffic between namespaces, where what nobody expects is looked for: of workloads, without what all of them need (DNS, monitoring).
import type { Topology, TopologyEdge, TopologyNode } from "../api/types";

export interface Between {
  edges: TopologyEdge[];
  /** How many more go to or come from infrastructure. */
  infra: number;
}

export function between({ nodes, edges }: Pick<Topology, "nodes" | "edges">): Between {
  const known = new Map(nodes.map((node) => [node.id, node]));
  const crossing = edges.flatMap((edge) => {
    const [src, dst] = [known.get(edge.src), known.get(edge.dst)];
    return src && dst && src.namespace && dst.namespace && src.namespace !== dst.namespace ? [{ edge, ofInfra: isInfra(src) || isInfra(dst) }] : [];
  });
  const own = crossing.filter((one) => !one.ofInfra).map((one) => one.edge);
  return { edges: own, infra: crossing.length - own.length };
}

const isInfra = (node: TopologyNode): boolean => node.layer === "infra";

/** The pairs of namespaces, each once: `other-team → flow-demo`. */
export function pairsOf({ nodes }: Pick<Topology, "nodes">, edges: readonly TopologyEdge[]): string[] {
  const namespaces = new Map(nodes.map((node) => [node.id, node.namespace]));
  return [...new Set(edges.map((edge) => `${namespaces.get(edge.src)} → ${namespaces.get(edge.dst)}`))];
}
