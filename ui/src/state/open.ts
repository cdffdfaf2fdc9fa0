// SPDX-License-Identifier: Apache-2.0
// What the drawer shows, as one word in the URL: `completeness`, `flow~…`, `edge~src~dst~port~proto`, `node~id`.
import type { TopologyEdge } from "../api/types";

export const COMPLETENESS = "completeness";

const escaped = (part: string): string => part.replaceAll("%", "%25").replaceAll("~", "%7E");
const plain = (part: string): string => part.replaceAll("%7E", "~").replaceAll("%25", "%");

/** Names an edge; the same as long as its two ends and its port are. */
export const edgeKey = (edge: Pick<TopologyEdge, "src" | "dst" | "dst_port" | "proto">): string =>
  ["edge", escaped(edge.src), escaped(edge.dst), edge.dst_port ?? "", edge.proto].join("~");

export const nodeKey = (id: string): string => `node~${escaped(id)}`;

export type Opened =
  | { what: "completeness" }
  | { what: "flow"; key: string }
  | { what: "edge"; src: string; dst: string; port: number | null; proto: number }
  | { what: "node"; id: string };

/** What a word of the URL opens; undefined for nothing, and for what nobody understands. */
export function parseOpen(open: string): Opened | undefined {
  const [what, ...parts] = open.split("~");
  if (open === COMPLETENESS) return { what: "completeness" };
  if (what === "flow" && parts.length >= 6) return { what, key: open };
  if (what === "node" && parts.length === 1 && parts[0]) return { what, id: plain(parts[0]) };
  const [src, dst, port, proto] = parts;
  if (what !== "edge" || !src || !dst || !/^\d*$/.test(port ?? "") || !/^\d+$/.test(proto ?? "")) return undefined;
  return { what, src: plain(src), dst: plain(dst), port: port ? Number(port) : null, proto: Number(proto) };
}
