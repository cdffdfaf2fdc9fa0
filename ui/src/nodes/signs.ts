// SPDX-License-Identifier: Apache-2.0
// What nodes' kernels told, for people: in which order, in which words, and which of them are silent.
import type { NodeCongestion, NodeSign, Nodes } from "../api/types";
import { capital, count, counted, timeToSecond } from "../format/units";

/** Agents tell every 10 s, and the collector each counter again within 20 s: after this an agent is silent. */
const SILENT_MS = 60_000;

export const isSilent = (one: NodeCongestion, endMs: number): boolean => endMs - one.told_ms > SILENT_MS;

/** The end of what is known: an open range ends a second ahead of now. */
export const knownUntil = ({ window }: Nodes, nowMs: number): number => Math.min(window.to_ms, nowMs);

export const needsLook = (one: NodeCongestion, endMs: number): boolean => one.signs.length > 0 || isSilent(one, endMs);

const natural = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Who needs a look first; equal ones by name, so that rows keep their places. */
export const byNeed = (nodes: readonly NodeCongestion[], endMs: number): NodeCongestion[] =>
  nodes.toSorted((a, b) => Number(needsLook(b, endMs)) - Number(needsLook(a, endMs)) || natural.compare(a.node, b.node));

/** `last at 10:03:05`, with which a sentence of the API ends. */
export const lastWords = ({ counter, last_ms }: NodeSign): string => (last_ms ? `${counter === "conntrack_entries" ? "fullest" : "last"} at ${timeToSecond(last_ms)}` : "");

export const silentWords = (one: NodeCongestion): string => `its agent was heard last at ${timeToSecond(one.told_ms)}`;

/** The page's answer as one sentence; `range` is `in the last 15 minutes`. */
export function nodesSentence(nodes: readonly NodeCongestion[], endMs: number, range: string): string {
  const signed = nodes.filter((one) => one.signs.length > 0);
  const silent = nodes.filter((one) => isSilent(one, endMs));
  const fine = nodes.filter((one) => !needsLook(one, endMs)).length;
  const parts = [
    signed.length > 0 && `${named(signed)} dropped packets or had no room for them ${range}`,
    silent.length > 0 && `${named(silent)} ${silent.length === 1 ? "is" : "are"} not heard any more`,
    fine > 0 && `nothing was dropped and no queue was full on ${fine === nodes.length ? `${counted(fine, "node")} ${range}` : `${count(fine)} of ${counted(nodes.length, "node")}`}`,
  ];
  const words = parts.filter(Boolean).join("; ");
  return `${words.startsWith("nothing") ? capital(words) : words}.`;
}

const named = (nodes: readonly NodeCongestion[]): string => (nodes.length <= 3 ? nodes.map((one) => one.node).join(", ") : counted(nodes.length, "node"));

/** The counters of a table's column together. */
export interface Queue {
  key: string;
  title: string;
  help: string;
  className: string;
  of: (one: NodeCongestion) => number;
}

const sum = (one: NodeCongestion, ...names: string[]): number => names.reduce((all, name) => all + (one.counters[name] ?? 0), 0);
const ofDevices = (one: NodeCongestion, part: string): number =>
  Object.values(one.devices).reduce((all, moved) => all + Object.entries(moved).reduce((inner, [name, value]) => inner + (name.includes(part) ? value : 0), 0), 0);

export const QUEUES: readonly Queue[] = [
  { key: "dropped", title: "Dropped", className: "", help: "Packets that the node's interfaces dropped", of: (one) => ofDevices(one, "dropped") },
  { key: "errors", title: "Errors", className: "fg-phone-less", help: "Packets that came damaged or could not be sent", of: (one) => ofDevices(one, "error") },
  { key: "cpu", title: "CPU full", className: "", help: "Packets that found a CPU's queue full", of: (one) => sum(one, "cpu_dropped_packets") },
  { key: "listen", title: "Listen full", className: "fg-mid-cell", help: "Connections that found a listener's queue full", of: (one) => sum(one, "listen_overflows") },
  { key: "tcp", title: "TCP full", className: "fg-mid-cell", help: "Segments that found a socket's queue full", of: (one) => sum(one, "tcp_backlog_overflows", "tcp_receive_overflows") },
  { key: "udp", title: "UDP full", className: "fg-mid-cell", help: "Datagrams that found a socket's buffer full", of: (one) => sum(one, "udp_receive_overflows", "udp_send_overflows") },
];

/** Share of connection tracking's room that was taken, 0 to 1; null: it is not used. */
export const trackingShare = (one: NodeCongestion): number | null => (one.conntrack_entries_max ? one.conntrack_entries / one.conntrack_entries_max : null);

/** Entries of connection tracking with their share: `212 of 262 144`. */
export const trackingWords = (one: NodeCongestion): string => (one.conntrack_entries_max ? `${count(one.conntrack_entries)} of ${count(one.conntrack_entries_max)}` : "not used");
