// SPDX-License-Identifier: Apache-2.0
// Naming the ends of a flow, and saying it as a sentence.
import type { Row } from "../api/types";
import { bytes, counted, duration } from "./units";

export type End = "src" | "dst";

const PROTOCOLS: Record<number, string> = { 1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP", 58: "ICMPv6", 132: "SCTP" };

/** The text of a column, empty when absent. */
export function text(row: Row, column: string): string {
  const value = row[column];
  return value === undefined || value === null || typeof value === "object" ? "" : String(value);
}

export function number(row: Row, column: string): number {
  const value = row[column];
  return typeof value === "number" ? value : 0;
}

export function protocol(value: string | number | undefined | null): string {
  if (value === undefined || value === null || value === "") return "";
  const code = Number(value);
  return Number.isNaN(code) ? String(value).toUpperCase() : (PROTOCOLS[code] ?? `protocol ${code}`);
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

export const namespaceOf = (row: Row, end: End): string => text(row, `${end}_namespace`);

/** What an end is, below its name: its namespace, else what kind of thing it is. */
export function endContext(row: Row, end: End): string {
  const subnet = text(row, `${end}_subnet`);
  return namespaceOf(row, end) || (subnet.startsWith("EXT:") ? "outside" : text(row, `${end}_kind`).toLowerCase());
}

/** `5432 · postgresql`, or the protocol where there are no ports. */
export function portLabel(row: Row): string {
  const proto = protocol(row.proto as number | string | undefined);
  const port = text(row, "dst_port");
  const service = text(row, "dst_service");
  if (!port) return proto;
  return service ? `${port} · ${service}` : `${port}${proto && proto !== "TCP" ? ` · ${proto}` : ""}`;
}

export const startMs = (row: Row): number => (number(row, "time_end_ns") - number(row, "duration_ns")) / 1e6;
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
export const direction = (row: Row): string => DIRECTIONS[text(row, "flow_direction")] ?? "";

/** The flow as people would say it. */
export function sentence(row: Row): string {
  const name = (end: End) => {
    const context = endContext(row, end);
    return endName(row, end).label + (context && context !== "outside" ? ` (${context})` : "");
  };
  const to = text(row, "dst_port") ? ` on port ${text(row, "dst_port")}` : "";
  const proto = protocol(row.proto as number | string | undefined);
  const how = number(row, "duration_ns") > 0 ? ` in ${duration(number(row, "duration_ns"))}` : "";
  const approx = isScaled(row) ? "about " : "";
  return `${name("src")} sent ${approx}${bytes(scaledBytes(row))} in ${counted(scaledPackets(row), "packet")} to ${name("dst")}${to}${proto ? ` over ${proto}` : ""}${how}.`;
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
