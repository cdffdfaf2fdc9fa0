// SPDX-License-Identifier: Apache-2.0
// Naming the ends of a flow, and saying it as a sentence.
import type { Row } from "../api/types";
import { portName, protocol } from "./ports";
import { bytes, count, counted, duration } from "./units";

export type End = "src" | "dst";

/** The text of a column, empty when absent. */
export function text(row: Row, column: string): string {
  const value = row[column];
  return value === undefined || value === null || typeof value === "object" ? "" : String(value);
}

export function number(row: Row, column: string): number {
  const value = row[column];
  return typeof value === "number" ? value : 0;
}

/** A column and value that pick this end in a filter; undefined when nothing is known of it. */
export interface EndName {
  label: string;
  column: string;
  value: string;
}

/** The best name of one end: workload, then service, name, subnet, address. */
export function endName(row: Row, end: End): EndName {
  for (const part of ["owner", "name", "dns_name", "service", "subnet", "addr"]) {
    const value = text(row, `${end}_${part}`);
    if (value) return { label: plain(value), column: `${end}_${part}`, value };
  }
  return { label: "unknown", column: "", value: "" };
}

/** `EXT:` in a subnet label means outside; people read it without. */
export function plain(value: string): string {
  return value.startsWith("EXT:") ? value.slice(4).trim() || "outside" : value;
}

/** The nodes on which flows' ends run and that saw them, each once. */
export const nodesOf = (rows: readonly Row[]): string[] => [...new Set(rows.flatMap((row) => ["src_node", "dst_node", "node_reporter"].map((column) => text(row, column))).filter(Boolean))];

export const namespaceOf = (row: Row, end: End): string => text(row, `${end}_namespace`);

/** What an end is, below its name: its namespace, else what kind of thing it is. */
export function endContext(row: Row, end: End): string {
  const subnet = text(row, `${end}_subnet`);
  return namespaceOf(row, end) || (subnet.startsWith("EXT:") ? "outside" : text(row, `${end}_kind`).toLowerCase());
}

/** The port at which the flow was served, and whether that is its destination's: the lower one, as on the map. */
export function servedPort(row: Row): { port: number | null; end: End } {
  const [src, dst] = [number(row, "src_port"), number(row, "dst_port")];
  if (!src && !dst) return { port: null, end: "dst" };
  return !src || (dst && dst <= src) ? { port: dst, end: "dst" } : { port: src, end: "src" };
}

/** `postgresql` beside a port, or the protocol where its number does not say it. */
export function portContext(row: Row): string {
  const { port } = servedPort(row);
  const proto = protocol(row.proto as number | undefined);
  return [portName(port), proto === "TCP" || port === null ? "" : proto].filter(Boolean).join(" · ");
}

export const endMs = (row: Row): number => Math.round(number(row, "time_end_ns") / 1e6);

/** How many packets one observed packet stands for. */
export const samplingRate = (row: Row): number => Math.max(1, number(row, "sampling_rate"));
export const isScaled = (row: Row): boolean => samplingRate(row) > 1;
export const scaledBytes = (row: Row): number => number(row, "bytes") * samplingRate(row);
export const scaledPackets = (row: Row): number => number(row, "packets") * samplingRate(row);

/** Half the width of the 95 % interval of a packet count seen 1 of N, relative to it: 1.96·√((1 − 1/N)/k). */
export function packetError(row: Row): number {
  const observed = number(row, "packets");
  return observed > 0 ? 1.96 * Math.sqrt((1 - 1 / samplingRate(row)) / observed) : 0;
}

const DIRECTIONS: Record<string, string> = { ingress: "into the node", egress: "out of the node", inner: "within the node" };

/** Interface of a device by its name, else by its number; 0 is none (RFC 3954 §8: to or from the device itself). */
const port = (row: Row, side: "in" | "out"): string => text(row, `${side}_if_name`) || (number(row, `${side}_if`) ? `if ${number(row, `${side}_if`)}` : "");

/** How it passed where it was seen: into or out of a node, or from which to which interface of a device. */
export function passage(row: Row): string {
  if (text(row, "flow_format") === "agent") return DIRECTIONS[text(row, "flow_direction")] ?? "";
  const [from, to] = [port(row, "in"), port(row, "out")];
  return from || to ? `${from || "…"} → ${to || "…"}` : "";
}

/** The flow as people would say it. */
export function sentence(row: Row): string {
  const name = (end: End) => {
    const context = endContext(row, end);
    return endName(row, end).label + (context && context !== "outside" ? ` (${context})` : "");
  };
  const { port, end } = servedPort(row);
  const through = port === null ? "" : end === "dst" ? ` on port ${port}` : ` from port ${port}`;
  const proto = protocol(row.proto as number | string | undefined);
  const how = number(row, "duration_ns") > 0 ? ` in ${duration(number(row, "duration_ns"))}` : "";
  const approx = isScaled(row) ? "about " : "";
  return `${name("src")} sent ${approx}${bytes(scaledBytes(row))} in ${counted(scaledPackets(row), "packet")} to ${name("dst")}${through}${proto ? ` over ${proto}` : ""}${how}.`;
}

const TCP = 6;
const SYN = 2;
const RST = 4;

/** RFC 7568, RFC 8996. */
const OUTDATED = new Set(["SSL 3.0", "TLS 1.0", "TLS 1.1"]);

/** What is worth knowing of a flow at a glance: what it asked and for whom, what was lost, how it failed, what is no longer safe. */
export function remarks(row: Row): { text: string; bad: boolean }[] {
  const found: { text: string; bad: boolean }[] = [];
  const flags = number(row, "tcp_flags");
  const [dropped, again] = [number(row, "drop_packets"), number(row, "retransmits")];
  if (dropped) found.push({ text: `${counted(dropped, "packet")} dropped${text(row, "drop_cause") ? `: ${text(row, "drop_cause")}` : ""}`, bad: true });
  if (again) found.push({ text: `${count(again)} sent again`, bad: true });
  if (row.proto === TCP && flags & RST) found.push({ text: servedPort(row).end === "src" && !(flags & SYN) ? "refused or reset" : "reset", bad: true });
  if (text(row, "dns_name")) found.push({ text: `asked ${text(row, "dns_name")}`, bad: false });
  if (text(row, "dns_rcode") && text(row, "dns_rcode") !== "NOERROR") found.push({ text: text(row, "dns_rcode"), bad: true });
  if (text(row, "tls_server_name")) found.push({ text: `for ${text(row, "tls_server_name")}`, bad: false });
  if (OUTDATED.has(text(row, "tls_version"))) found.push({ text: `${text(row, "tls_version")}, outdated`, bad: true });
  return found;
}

const FLAG_NAMES = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"];
export const tcpFlags = (value: number): string => FLAG_NAMES.filter((_, bit) => value & (1 << bit)).join(" ") || "none";

/** Names one flow in the URL, so that a reload finds it again. */
export function flowKey(row: Row): string {
  const parts = ["src_addr", "src_port", "dst_addr", "dst_port", "proto", "exporter_addr"].map((column) => text(row, column));
  return ["flow", endMs(row), ...parts].join("~");
}

/** What to ask the API to get the flow of a key. */
export function flowOfKey(key: string): { filter: string; from: number; to: number } | undefined {
  const [kind, time, src, srcPort, dst, dstPort, proto, exporter] = key.split("~");
  if (kind !== "flow" || !time || !src || !dst) return undefined;
  const terms = [`src_addr = ${src}`, `dst_addr = ${dst}`];
  if (srcPort) terms.push(`src_port = ${srcPort}`);
  if (dstPort) terms.push(`dst_port = ${dstPort}`);
  if (proto) terms.push(`proto = ${proto}`);
  if (exporter) terms.push(`exporter_addr = ${exporter}`);
  return { filter: terms.join(" and "), from: Number(time), to: Number(time) + 1 };
}

/** Which packets are those of the flow's connection, in both directions, also where one end is behind translation. */
export function packetsFilter(row: Row): string {
  const either = (field: string, ...values: string[]): string => {
    const terms = [...new Set(values.filter(Boolean))].map((value) => `${field} = ${value}`);
    return terms.length > 1 ? `(${terms.join(" or ")})` : (terms[0] ?? "");
  };
  const ofEnd = (field: string, end: End): string => either(field, text(row, `${end}_${field}`), text(row, `post_nat_${end}_${field}`));
  return [either("proto", text(row, "proto")), ofEnd("addr", "src"), ofEnd("addr", "dst"), ofEnd("port", "src"), ofEnd("port", "dst")].filter(Boolean).join(" and ");
}
