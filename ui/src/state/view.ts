// SPDX-License-Identifier: Apache-2.0
// What the Traffic page (and the Nodes page) asks, over which time, and what is open: read from its address and written there.
import { useCallback, useMemo } from "react";
import { go, put, queryText, useAddress } from "./address";

/** What the table shows; `between`: conversations between namespaces. */
export type Tab = "flows" | "conversations" | "between";
const TABS: readonly Tab[] = ["flows", "conversations", "between"];

export interface View {
  filter: string;
  /** Relative range (`15m`); not used when from and to are set. */
  since: string;
  from: number | undefined;
  to: number | undefined;
  /** Named dataset that is asked; empty: the live flows. */
  dataset: string;
  /** Whether relative ranges follow the clock. */
  live: boolean;
  tab: Tab;
  /** What the drawer shows: `completeness`, `flow~…`, `edge~…`, `node~…`; empty: closed. */
  open: string;
}

export const DEFAULT_VIEW: View = {
  filter: "",
  since: "15m",
  from: undefined,
  to: undefined,
  dataset: "",
  live: true,
  tab: "flows",
  open: "",
};

/** Reads the state from a query string; what is malformed counts as left out. */
export function parseView(search: string): View {
  const query = new URLSearchParams(search);
  const from = time(query.get("from"));
  const to = time(query.get("to"));
  const absolute = from !== undefined && to !== undefined && from < to;
  const since = query.get("since") ?? "";
  return {
    filter: query.get("filter") ?? "",
    since: /^\d{1,6}(s|m|h|d|w)$/.test(since) ? since : DEFAULT_VIEW.since,
    from: absolute ? from : undefined,
    to: absolute ? to : undefined,
    dataset: query.get("dataset") ?? "",
    live: !absolute && query.get("live") !== "off",
    tab: TABS.find((tab) => tab === query.get("tab")) ?? DEFAULT_VIEW.tab,
    open: query.get("open") ?? "",
  };
}

/** Writes the state as a query string; defaults are left out, parameters that are not ours (theme) stay. */
export function writeView(view: View, search = ""): string {
  const query = new URLSearchParams(search);
  const absolute = view.from !== undefined && view.to !== undefined;
  put(query, "filter", view.filter, "");
  put(query, "since", absolute ? DEFAULT_VIEW.since : view.since, DEFAULT_VIEW.since);
  put(query, "from", absolute ? String(view.from) : "", "");
  put(query, "to", absolute ? String(view.to) : "", "");
  put(query, "dataset", view.dataset, "");
  put(query, "live", view.live || absolute ? "on" : "off", "on");
  put(query, "tab", view.tab, DEFAULT_VIEW.tab);
  put(query, "open", view.open, "");
  return queryText(query);
}

function time(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Changes part of the state; `replace` makes no new step in the history. */
export type Change = (patch: Partial<View>, replace?: boolean) => void;

export const trafficLink = (view: Partial<View>, search = ""): string => `/traffic${writeView({ ...DEFAULT_VIEW, ...view }, search)}`;

export const nodesLink = (view: Partial<View>): string => `/nodes${writeView({ ...DEFAULT_VIEW, ...view })}`;

/** The state of a page that has a time: of the Nodes page only that and what is open. */
export function useView(page: "traffic" | "nodes" = "traffic"): [View, Change] {
  const address = useAddress();
  const view = useMemo(() => parseView(location.search), [address]);
  const change = useCallback<Change>((patch, replace = false) => {
    go(`/${page}${writeView({ ...parseView(location.search), ...patch }, location.search)}`, replace);
  }, [page]);
  return [view, change];
}

/** An absolute link to what is on screen now: a colleague sees the same minutes. */
export function shareLink(view: View, window: { from_ms: number; to_ms: number } | undefined): string {
  const fixed = window ? { ...view, from: window.from_ms, to: window.to_ms, live: false } : view;
  return location.origin + trafficLink(fixed);
}
