// SPDX-License-Identifier: Apache-2.0
// The page's answer as one sentence.
import type { Topology, TopologyEdge, Trouble } from "../api/types";
import { healthOf, isIll } from "./edge";
import { bytes, capital, count, counted, duration, rate, timeToSecond } from "./units";

/** Agents send every few seconds, routers every minute or two: after this nothing comes any more. */
const QUIET_MS = 150_000;

/** When the newest flow of all ended, and when that was asked. */
export interface Newest {
  endedMs: number;
  askedMs: number;
}

/** `newest`: where the answer is of up to now. */
export function summary(topology: Topology, seconds: number, newest?: Newest): string {
  const { edges, nodes, edge_count, others } = topology;
  const all = edges.reduce((sum, edge) => sum + edge.bytes, others.bytes ?? 0);
  if (edge_count === 0) return "";
  const about = edges.some((edge) => edge.approx) ? "about " : "";
  const workloads = nodes.filter((node) => node.kind === "workload").length;
  return `${counted(workloads, "workload")} in ${counted(edge_count, "conversation")}: ${about}${bytes(all)}, ${rate(all / seconds)}.${quietWords(newest) || wellWords(topology)}`;
}

/** What was well when the last flow came says nothing of now. */
function quietWords(newest: Newest | undefined): string {
  if (!newest) return "";
  const quietMs = newest.askedMs - newest.endedMs;
  if (quietMs < QUIET_MS) return "";
  return ` No flow has come for ${duration(Math.round(quietMs / 1000) * 1e9)}, since ${timeToSecond(newest.endedMs)}: how it goes now is not known.`;
}

/** Of conversations beyond the largest nothing is known but their sums. */
function wellWords({ edges, edge_count, unseen }: Topology): string {
  if (edges.some(isIll)) return "";
  if (unseen) return ` ${capital(unseen)}.`;
  return edges.length < edge_count ? ` No trouble now in the ${count(edges.length)} largest.` : " No trouble now.";
}

export interface Troubled {
  /** Conversations with what goes on or went on, the gravest first. */
  felt: TopologyEdge[];
  /** Those with nothing but what is too small to be felt. */
  small: TopologyEdge[];
}

export function troubled({ edges, troubled }: Pick<Topology, "edges" | "troubled">): Troubled {
  const all = troubled.flatMap((place) => edges[place] ?? []);
  return { felt: all.filter((edge) => healthOf(edge) !== "fine"), small: all.filter((edge) => healthOf(edge) === "fine") };
}

/** `the 200 newest of 12 345 flows`. */
export function shownOf(shown: number, matched: number): string {
  return matched > shown ? `the ${count(shown)} newest of ${counted(matched, "flow")}` : counted(matched, "flow");
}

/** `since 10:02:31 (2 min 10 s)`, `from 10:02:31 to 10:03:05, not since (40 s)`; empty when it is not known. */
export function troubleTime({ since_ms, last_ms, over }: Pick<Trouble, "since_ms" | "last_ms" | "over">, endMs: number): string {
  if (!since_ms) return "";
  const since = timeToSecond(since_ms);
  if (!over) return `since ${since} (${duration(Math.max(1, Math.round((endMs - since_ms) / 1000)) * 1e9)})`;
  const last = timeToSecond(last_ms, since_ms);
  const ago = duration(Math.round((endMs - last_ms) / 1000) * 1e9);
  return since_ms === last_ms ? `at ${since}, ${ago} ago` : `from ${since} to ${last}, not since (${ago})`;
}
