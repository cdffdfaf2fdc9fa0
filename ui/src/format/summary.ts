// SPDX-License-Identifier: Apache-2.0
// The page's answer as one sentence.
import type { Topology, TopologyEdge, Trouble } from "../api/types";
import { healthOf } from "./edge";
import { bytes, count, counted, duration, rate, timeToSecond } from "./units";

export function summary(topology: Topology, seconds: number): string {
  const { edges, nodes, edge_count, others } = topology;
  const all = edges.reduce((sum, edge) => sum + edge.bytes, others.bytes ?? 0);
  if (edge_count === 0) return "";
  const about = edges.some((edge) => edge.approx) ? "about " : "";
  const workloads = nodes.filter((node) => node.kind === "workload").length;
  return `${counted(workloads, "workload")} in ${counted(edge_count, "conversation")}: ${about}${bytes(all)}, ${rate(all / seconds)}.`;
}

/** What was seen less long before the end of the range goes on: agents tell every few seconds, and some troubles come in turns. */
const GOES_ON_MS = 60_000;
export const goesOn = ({ last_ms }: Pick<Trouble, "last_ms">, endMs: number): boolean => !last_ms || endMs - last_ms < GOES_ON_MS;

/** What to look at: what goes on before what is over, then conversations in which something does not arrive before those that are slow. */
export function troubled({ edges, window }: Pick<Topology, "edges" | "window">): TopologyEdge[] {
  const rank = (edge: TopologyEdge): number => (edge.troubles.some((one) => goesOn(one, window.to_ms)) ? 2 : 0) + (healthOf(edge) === "failing" ? 1 : 0);
  return edges.filter((edge) => healthOf(edge) !== "fine").toSorted((a, b) => rank(b) - rank(a));
}

/** `the 200 newest of 12 345 flows`. */
export function shownOf(shown: number, matched: number): string {
  return matched > shown ? `the ${count(shown)} newest of ${counted(matched, "flow")}` : counted(matched, "flow");
}

/** `since 10:02:31 (2 min 10 s)`, `from 10:02:31 to 10:03:05, not since (40 s)`; empty when it is not known. */
export function troubleTime({ since_ms, last_ms }: Pick<Trouble, "since_ms" | "last_ms">, endMs: number): string {
  if (!since_ms) return "";
  const since = timeToSecond(since_ms);
  if (goesOn({ last_ms }, endMs)) return `since ${since} (${duration(Math.max(1, Math.round((endMs - since_ms) / 1000)) * 1e9)})`;
  const last = timeToSecond(last_ms);
  const ago = duration(Math.round((endMs - last_ms) / 1000) * 1e9);
  return since === last ? `at ${since}, ${ago} ago` : `from ${since} to ${last}, not since (${ago})`;
}
