// SPDX-License-Identifier: Apache-2.0
// What nodes' kernels told, for people: in which order, in which words, and which of them are silent.
import type { NodeCongestion, NodeSign, Nodes } from "../api/types";
import { capital, count, counted, duration, timeToSecond } from "../format/units";
import { term } from "../state/terms";
import { trafficLink } from "../state/view";

/** Agents tell every 10 s, and the collector each counter again within 20 s: after this an agent is silent. */
const SILENT_MS = 60_000;

export const isSilent = (one: NodeCongestion, endMs: number): boolean => endMs - one.told_ms > SILENT_MS;

/** The end of what is known: an open range ends a second ahead of now. */
export const knownUntil = ({ window }: Nodes, nowMs: number): number => Math.min(window.to_ms, nowMs);

/** Whether something is not over. */
export const goesOn = (one: NodeCongestion): boolean => one.signs.some((sign) => !sign.over);
const isOver = (one: NodeCongestion): boolean => one.signs.length > 0 && !goesOn(one);

export const needsLook = (one: NodeCongestion, endMs: number): boolean => goesOn(one) || isSilent(one, endMs);

const natural = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Who needs a look first, then where something is over; equal ones by name, so that rows keep their places. */
export function byNeed(nodes: readonly NodeCongestion[], endMs: number): NodeCongestion[] {
  const need = (one: NodeCongestion): number => (needsLook(one, endMs) ? 2 : isOver(one) ? 1 : 0);
  return nodes.toSorted((a, b) => need(b) - need(a) || natural.compare(a.node, b.node));
}

/** `last at 10:03:05`, with which a sentence of the API ends; of what is over also how long ago that was. */
export function lastWords({ counter, last_ms, over }: NodeSign, endMs: number): string {
  if (!last_ms) return "";
  const at = `${counter === "conntrack_entries" ? "fullest" : "last"} at ${timeToSecond(last_ms)}`;
  return over ? `over: ${at}, ${duration(Math.max(0, Math.round((endMs - last_ms) / 1000)) * 1e9)} ago` : at;
}

/** A minute before and after that, of the node's traffic. */
export const thenLink = (node: string, { last_ms }: NodeSign): string =>
  trafficLink({ filter: term("node", node), from: last_ms - AROUND_MS, to: last_ms + AROUND_MS, live: false });
const AROUND_MS = 60_000;

export const silentWords = (one: NodeCongestion): string => `its agent was heard last at ${timeToSecond(one.told_ms)}`;

/** The page's answer as one sentence; `range` is `in the last 15 minutes`. */
export function nodesSentence(nodes: readonly NodeCongestion[], endMs: number, range: string): string {
  const signed = nodes.filter(goesOn);
  const over = nodes.filter(isOver);
  const silent = nodes.filter((one) => isSilent(one, endMs));
  const fine = nodes.filter((one) => !needsLook(one, endMs) && !isOver(one)).length;
  const parts = [
    signed.length > 0 && `${named(signed)} dropped packets or had no room for them ${range}`,
    silent.length > 0 && `${named(silent)} ${silent.length === 1 ? "is" : "are"} not heard any more`,
    over.length > 0 && `what ${named(over)} dropped or had no room for ${range} is over`,
    fine > 0 && `nothing was dropped and no queue was full on ${fine === nodes.length ? `${counted(fine, "node")} ${range}` : `${count(fine)} of ${counted(nodes.length, "node")}`}`,
  ];
  const words = parts.filter(Boolean).join("; ");
  return `${/^(nothing|what) /.test(words) ? capital(words) : words}.`;
}

const named = (nodes: readonly NodeCongestion[]): string => (nodes.length <= 3 ? nodes.map((one) => one.node).join(", ") : counted(nodes.length, "node"));

/** The counters of a table's column together. */
export interface Queue {
  key: string;
  title: string;
  help: string;
  className: string;
  /** What of it there was none, within a sentence. */
  quiet: string;
  /** Which of the API's counters. */
  names: readonly string[];
  of: (one: NodeCongestion) => number;
  /** Whether one of its counters still goes up. */
  goesOn: (one: NodeCongestion) => boolean;
}

const OF_DEVICES: Record<string, readonly string[]> = {
  dropped: ["device_in_dropped_packets", "device_out_dropped_packets"],
  errors: ["device_in_error_packets", "device_out_error_packets"],
};

function queue(key: string, title: string, className: string, help: string, quiet: string, counters: readonly string[] = []): Queue {
  const ofDevices = OF_DEVICES[key] ?? [];
  const sum = (moved: Record<string, number>, names: readonly string[]) => names.reduce((all, name) => all + (moved[name] ?? 0), 0);
  return {
    key, title, className, help, quiet, names: [...counters, ...ofDevices],
    of: (one) => sum(one.counters, counters) + Object.values(one.devices).reduce((all, moved) => all + sum(moved, ofDevices), 0),
    goesOn: (one) => one.signs.some((sign) => !sign.over && (counters.includes(sign.counter) || ofDevices.includes(sign.counter))),
  }; // prettier-ignore
}

export const QUEUES: readonly Queue[] = [
  queue("dropped", "Dropped", "", "Packets that the node's interfaces dropped", "drops of interfaces"),
  queue("errors", "Errors", "fg-phone-less", "Packets that came damaged or could not be sent", "errors"),
  queue("cpu", "CPU full", "", "Packets that found a CPU's queue full", "full CPU queues", ["cpu_dropped_packets"]),
  queue("listen", "Listen full", "fg-mid-cell", "Connections that found a listener's queue full", "full listeners", ["listen_overflows"]),
  queue("tcp", "TCP full", "fg-mid-cell", "Segments that found a socket's queue full", "full TCP queues", ["tcp_backlog_overflows", "tcp_receive_overflows"]),
  queue("udp", "UDP full", "fg-mid-cell", "Datagrams that found a socket's buffer full", "full UDP buffers", ["udp_receive_overflows", "udp_send_overflows"]),
];

/** All that one looks at when something is slow; that a CPU left packets for its next turn is usual. */
export const PROBLEM_COUNTERS: readonly string[] = QUEUES.flatMap((one) => one.names);

/** Share of connection tracking's room that was taken, 0 to 1; null: it is not used. */
export const trackingShare = (one: NodeCongestion): number | null => (one.conntrack_entries_max ? one.conntrack_entries / one.conntrack_entries_max : null);

/** Entries of connection tracking with their share: `212 of 262 144`. */
export const trackingWords = (one: NodeCongestion): string => (one.conntrack_entries_max ? `${count(one.conntrack_entries)} of ${count(one.conntrack_entries_max)}` : "not used");
