// SPDX-License-Identifier: Apache-2.0
// The page's answer as one sentence.
import type { Topology, TopologyEdge } from "../api/types";
import { healthOf } from "./edge";
import { bytes, count, counted, rate } from "./units";

export function summary(topology: Topology, seconds: number): string {
  const { edges, nodes, edge_count, others } = topology;
  const all = edges.reduce((sum, edge) => sum + edge.bytes, others.bytes ?? 0);
  if (edge_count === 0) return "";
  const about = edges.some((edge) => edge.approx) ? "about " : "";
  const workloads = nodes.filter((node) => node.kind === "workload").length;
  return `${counted(workloads, "workload")} in ${counted(edge_count, "conversation")}: ${about}${bytes(all)}, ${rate(all / seconds)}.`;
}

/** What to look at: conversations in which something does not arrive, then those that are slow. */
export const troubled = (topology: Topology): TopologyEdge[] =>
  topology.edges.filter((edge) => healthOf(edge) !== "fine").toSorted((a, b) => Number(healthOf(b) === "failing") - Number(healthOf(a) === "failing"));

/** `the 200 newest of 12 345 flows`. */
export function shownOf(shown: number, matched: number): string {
  return matched > shown ? `the ${count(shown)} newest of ${counted(matched, "flow")}` : counted(matched, "flow");
}
