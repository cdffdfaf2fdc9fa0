// SPDX-License-Identifier: Apache-2.0
// The columns of a flow by meaning, and how a value of each is written.
import { type ColumnInfo, type ColumnName, COLUMNS } from "../api/columns.generated";
import type { Row, Value } from "../api/types";
import { tcpFlags } from "./flow";
import { protocol } from "./ports";
import { bytes, count, dateTime, duration } from "./units";

/** Facts that both ends have: the part of the column's name after `src_` or `dst_`, and its title. */
export const END_PARTS: readonly [string, string][] = [
  ["namespace", "Namespace"], ["owner", "Workload"], ["owner_kind", "Kind of workload"], ["name", "Name"], ["kind", "Kind"], ["service", "Service"],
  ["application", "Application"], ["revision", "Revision"], ["addr", "Address"], ["port", "Port"], ["node", "Node"], ["zone", "Zone"],
  ["subnet", "Subnet"], ["dns_name", "DNS name"], ["network", "Network"], ["as", "AS"], ["as_name", "AS name"], ["country", "Country"],
  ["city", "City"], ["process", "Process"], ["pid", "Process id"], ["mac", "MAC"], ["layer", "Layer"], ["identity_source", "Known by"],
  ["identity_confidence", "How surely"],
]; // prettier-ignore

export const SECTIONS: readonly { title: string; columns: readonly ColumnName[] }[] = [
  { title: "What passed", columns: ["time_start_ns", "time_end_ns", "duration_ns", "proto", "icmp_type", "icmp_code", "bytes", "packets", "sampling_rate", "sampling_source", "tcp_flags", "ip_tos", "tcp_state_final", "flow_end_reason"] },
  { title: "How it went", columns: ["rtt_min_ns", "rtt_avg_ns", "rtt_max_ns", "handshake_ns", "retransmits", "drop_packets", "drop_bytes", "drop_cause", "drop_tcp_state"] },
  { title: "DNS", columns: ["dns_name", "dns_type", "dns_rcode", "dns_latency_ns", "dns_id"] },
  { title: "TLS", columns: ["tls_server_name", "tls_version", "tls_cipher", "tls_group", "tls_alpn", "quic_version"] },
  { title: "Translation", columns: ["service_port", "target_port", "post_nat_src_addr", "post_nat_src_port", "post_nat_dst_addr", "post_nat_dst_port", "nat_event"] },
  { title: "Where it was seen", columns: ["node_reporter", "exporter_addr", "flow_direction", "observed_if_names", "observed_if_dirs", "in_if_name", "out_if_name", "in_if", "out_if", "in_vrf_name", "out_vrf_name", "in_vrf", "out_vrf", "local_ends", "flow_format", "duplicate_of"] },
]; // prettier-ignore

const TOLD = new Set<string>([...SECTIONS.flatMap((section) => section.columns), ...END_PARTS.flatMap(([part]) => [`src_${part}`, `dst_${part}`])]);

/** Columns of a row that no section shows. */
export const remaining = (row: Row): string[] => Object.keys(row).filter((name) => !TOLD.has(name));

const infoOf = (name: string): ColumnInfo | undefined => (COLUMNS as Record<string, ColumnInfo>)[name];

export const titleOf = (name: string): string => infoOf(name)?.title ?? name;
export const helpOf = (name: string): string => infoOf(name)?.help ?? "";

/** A value as people read it. */
export function shown(name: string, value: Value): string {
  if (value === null) return "";
  if (Array.isArray(value)) return name === "observed_if_dirs" ? value.map((one) => (one ? "out" : "in")).join(", ") : value.join(", ");
  if (typeof value !== "number") return String(value);
  if (name === "proto") return protocol(value);
  if (name === "tcp_flags") return tcpFlags(value);
  if (name === "sampling_rate") return value === 1 ? "every packet" : `1 of ${count(value)} packets`;
  const info = infoOf(name);
  if (info?.role === "time") return dateTime(value / 1e6);
  if (info?.unit === "ns") return duration(value);
  if (info?.unit === "bytes") return bytes(value);
  return info?.role === "measure" ? count(value) : String(value);
}

/** Whether one can filter by this value: lists and times are only shown. */
export const canFilter = (name: string, value: Value): value is string | number =>
  (typeof value === "string" || typeof value === "number") && infoOf(name) !== undefined && infoOf(name)?.role !== "time";
