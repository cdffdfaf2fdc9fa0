// SPDX-License-Identifier: Apache-2.0
// The URL is the whole state of the page: what is asked, over which time, and what is open. Back and reload just work.
import { useCallback, useSyncExternalStore } from "react";

export type Tab = "flows" | "conversations";

export interface View {
  filter: string;
  /** Relative range (`15m`); not used when from and to are set. */
  since: string;
  from: number | undefined;
  to: number | undefined;
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
    live: !absolute && query.get("live") !== "off",
    tab: query.get("tab") === "conversations" ? "conversations" : "flows",
    open: query.get("open") ?? "",
  };
}

/** Writes the state as a query string; defaults are left out, parameters that are not ours (theme) stay. */
export function writeView(view: View, search = ""): string {
  const query = new URLSearchParams(search);
  const put = (name: string, value: string, fallback: string) => (value === fallback ? query.delete(name) : query.set(name, value));
  const absolute = view.from !== undefined && view.to !== undefined;
  put("filter", view.filter, "");
  put("since", absolute ? DEFAULT_VIEW.since : view.since, DEFAULT_VIEW.since);
  put("from", absolute ? String(view.from) : "", "");
  put("to", absolute ? String(view.to) : "", "");
  put("live", view.live || absolute ? "on" : "off", "on");
  put("tab", view.tab, DEFAULT_VIEW.tab);
  put("open", view.open, "");
  const text = query.toString();
  return text ? `?${text}` : "";
}

function time(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

const CHANGED = "flowgauge:view";

function subscribe(listener: () => void): () => void {
  addEventListener("popstate", listener);
  addEventListener(CHANGED, listener);
  return () => {
    removeEventListener("popstate", listener);
    removeEventListener(CHANGED, listener);
  };
}

let cached: { search: string; view: View } | undefined;

function snapshot(): View {
  if (cached?.search !== location.search) cached = { search: location.search, view: parseView(location.search) };
  return cached!.view;
}

/** Changes part of the state; `replace` makes no new step in the history. */
export type Change = (patch: Partial<View>, replace?: boolean) => void;

export function useView(): [View, Change] {
  const view = useSyncExternalStore(subscribe, snapshot);
  const change = useCallback<Change>((patch, replace = false) => {
    const target = `/traffic${writeView({ ...snapshot(), ...patch }, location.search)}`;
    if (target === location.pathname + location.search) return;
    history[replace ? "replaceState" : "pushState"](null, "", target);
    dispatchEvent(new Event(CHANGED));
  }, []);
  return [view, change];
}

/** An absolute link to what is on screen now: a colleague sees the same minutes. */
export function shareLink(view: View, window: { from_ms: number; to_ms: number } | undefined): string {
  const fixed = window ? { ...view, from: window.from_ms, to: window.to_ms, live: false } : view;
  return `${location.origin}/traffic${writeView(fixed)}`;
}
