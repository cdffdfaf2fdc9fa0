// SPDX-License-Identifier: Apache-2.0
// Traffic between namespaces, where what nobody expects is looked for: of workloads, without what all of them need (DNS, monitoring).
import type { Topology, TopologyEdge } from "../api/types";

export interface Between {
  edges: TopologyEdge[];
  /** How many more go to or come from infrastructure. */
  infra: number;
}

export function between({ edges }: Pick<Topology, "edges">): Between {
  return { edges: edges.filter((edge) => edge.crossing === "app"), infra: edges.filter((edge) => edge.crossing === "infra").length };
}
