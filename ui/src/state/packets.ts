// SPDX-License-Identifier: Apache-2.0
// What the Packets page captures: read from its address and written there.
import { useCallback, useMemo } from "react";
import type { Row } from "../api/types";
import { endMs, number, packetsFilter } from "../format/flow";
import { go, put, queryText, useAddress } from "./address";
import { shellWord } from "./command";

/** What comes, the last while, or between two times. */
export type When = "live" | "past" | "range";

export interface PacketsView {
  filter: string;
  when: When;
  /** How long, live or of the past: `30s`. */
  length: string;
  /** Between these, ms since 1970. */
  from: number;
  to: number;
  /** Only this node; empty: all. */
  node: string;
  maxBytes: number;
}

export const LENGTHS: readonly { length: string; label: string }[] = [
  { length: "10s", label: "10 seconds" },
  { length: "30s", label: "30 seconds" },
  { length: "60s", label: "1 minute" },
  { length: "5m", label: "5 minutes" },
  { length: "10m", label: "10 minutes" },
];

export const SIZES: readonly { maxBytes: number; label: string }[] = [
  { maxBytes: 1_000_000, label: "1 MB" },
  { maxBytes: 10_000_000, label: "10 MB" },
  { maxBytes: 100_000_000, label: "100 MB" },
];

export const DEFAULT_PACKETS: PacketsView = { filter: "", when: "live", length: "30s", from: 0, to: 0, node: "", maxBytes: 10_000_000 };

/** Reads the state; what is malformed counts as left out. */
export function parsePackets(search: string): PacketsView {
  const query = new URLSearchParams(search);
  const [from, to] = [Number(query.get("from")), Number(query.get("to"))];
  const ranged = Number.isSafeInteger(from) && Number.isSafeInteger(to) && 0 < from && from < to;
  const when = query.get("when");
  const maxBytes = Number(query.get("max"));
  return {
    filter: query.get("filter") ?? "",
    when: when === "past" || (when === "range" && ranged) ? when : DEFAULT_PACKETS.when,
    length: LENGTHS.find((one) => one.length === query.get("length"))?.length ?? DEFAULT_PACKETS.length,
    from: ranged ? from : 0,
    to: ranged ? to : 0,
    node: query.get("node") ?? "",
    maxBytes: SIZES.find((one) => one.maxBytes === maxBytes)?.maxBytes ?? DEFAULT_PACKETS.maxBytes,
  };
}

/** Writes the state as a query string; defaults are left out, parameters that are not ours (theme) stay. */
export function writePackets(view: PacketsView, search = ""): string {
  const query = new URLSearchParams(search);
  put(query, "filter", view.filter, "");
  put(query, "when", view.when, DEFAULT_PACKETS.when);
  put(query, "length", view.length, DEFAULT_PACKETS.length);
  put(query, "from", view.from ? String(view.from) : "", "");
  put(query, "to", view.to ? String(view.to) : "", "");
  put(query, "node", view.node, "");
  put(query, "max", String(view.maxBytes), String(DEFAULT_PACKETS.maxBytes));
  return queryText(query);
}

export const packetsLink = (view: Partial<PacketsView>): string => `/packets${writePackets({ ...DEFAULT_PACKETS, ...view })}`;

/** Around a flow, to both sides. */
const AROUND_MS = 60_000;

export const aroundFlow = (row: Row): { from: number; to: number } => ({ from: Math.floor(endMs(row) - number(row, "duration_ns") / 1e6) - AROUND_MS, to: endMs(row) + AROUND_MS });

/** The packets of a flow's connection around its time. */
export const packetsOfFlow = (row: Row): string => packetsLink({ filter: packetsFilter(row), when: "range", ...aroundFlow(row) });

export type ChangePackets = (patch: Partial<PacketsView>) => void;

export function usePacketsView(): [PacketsView, ChangePackets] {
  const address = useAddress();
  const view = useMemo(() => parsePackets(location.search), [address]);
  const change = useCallback<ChangePackets>((patch) => go(`/packets${writePackets({ ...parsePackets(location.search), ...patch }, location.search)}`), []);
  return [view, change];
}

/** What the API is asked. */
export function captureParams(view: PacketsView): Record<string, string | number> {
  const when: Record<string, string | number> = view.when === "live" ? { for: view.length } : view.when === "past" ? { past: view.length } : { from: view.from, to: view.to };
  return { filter: view.filter, node: view.node, max_bytes: view.maxBytes, ...when };
}

/** The same in a terminal. `--at` is the middle of a range, as far to both sides. */
export function captureCommand(view: PacketsView): string {
  const middle = new Date((view.from + view.to) / 2).toISOString();
  const range = `--at ${middle} --past ${Math.ceil((view.to - view.from) / 2000)}s`;
  const when = view.when === "live" ? `--for ${view.length}` : view.when === "past" ? `--past ${view.length}` : range;
  const parts = ["flowgauge capture", view.filter && shellWord(view.filter), when, view.node && `--node ${shellWord(view.node)}`, "-w packets.pcapng"];
  return parts.filter(Boolean).join(" ");
}
