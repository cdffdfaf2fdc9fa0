// SPDX-License-Identifier: Apache-2.0
// The page's answer as one sentence, before any chart.
import type { Topology } from "../api/types";
import { healthOf } from "../format/edge";
import { bytes, count, counted, rate } from "../format/units";

export function summary(topology: Topology, seconds: number): string {
  const { edges, nodes, edge_count, others } = topology;
  const all = edges.reduce((sum, edge) => sum + edge.bytes, others.bytes ?? 0);
  if (edge_count === 0) return "";
  const about = edges.some((edge) => edge.approx) ? "about " : "";
  const workloads = nodes.filter((node) => node.kind === "workload").length;
  const hurt = edges.filter((edge) => healthOf(edge) !== "fine").length;
  const health = hurt === 0 ? "no drops, no retransmission worth a word" : `${counted(hurt, "conversation")} with drops or retransmission`;
  return `${counted(workloads, "workload")} in ${counted(edge_count, "conversation")}: ${about}${bytes(all)}, ${rate(all / seconds)}; ${health}.`;
}

/** `the 200 newest of 12 345 flows`. */
export function shownOf(shown: number, matched: number): string {
  return matched > shown ? `the ${count(shown)} newest of ${counted(matched, "flow")}` : counted(matched, "flow");
}
