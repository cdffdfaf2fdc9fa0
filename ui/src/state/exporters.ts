// SPDX-License-Identifier: Apache-2.0
// What the Exporters page shows: words to look for, the order, and which exporter is open; read from its address.
import { useCallback, useMemo } from "react";
import { go, put, queryText, useAddress } from "./address";

export const SORTS = ["name", "protocol", "domains", "rate", "lost", "skew", "sampling", "templates", "seen"] as const;
export type Sort = (typeof SORTS)[number];

export interface ExportersView {
  /** Words that a row must contain. */
  find: string;
  sort: Sort;
  /** Whether the largest (of texts: the last) comes first. */
  descending: boolean;
  /** Key of the exporter in the drawer; empty: closed. */
  open: string;
}

export const DEFAULT_EXPORTERS: ExportersView = { find: "", sort: "rate", descending: true, open: "" };

/** Reads the state; `sort=-lost` is the largest loss first. What is malformed counts as left out. */
export function parseExporters(search: string): ExportersView {
  const query = new URLSearchParams(search);
  const text = query.get("sort") ?? "";
  const sort = SORTS.find((name) => name === text.replace(/^-/, ""));
  return {
    find: query.get("find") ?? "",
    sort: sort ?? DEFAULT_EXPORTERS.sort,
    descending: sort ? text.startsWith("-") : DEFAULT_EXPORTERS.descending,
    open: query.get("open") ?? "",
  };
}

const sortText = (view: ExportersView): string => (view.descending ? "-" : "") + view.sort;

/** Writes the state as a query string; defaults are left out, parameters that are not ours (theme) stay. */
export function writeExporters(view: ExportersView, search = ""): string {
  const query = new URLSearchParams(search);
  put(query, "find", view.find, "");
  put(query, "sort", sortText(view), sortText(DEFAULT_EXPORTERS));
  put(query, "open", view.open, "");
  return queryText(query);
}

export const exportersLink = (view: Partial<ExportersView>): string => `/exporters${writeExporters({ ...DEFAULT_EXPORTERS, ...view })}`;

export type ChangeExporters = (patch: Partial<ExportersView>, replace?: boolean) => void;

export function useExportersView(): [ExportersView, ChangeExporters] {
  const address = useAddress();
  const view = useMemo(() => parseExporters(location.search), [address]);
  const change = useCallback<ChangeExporters>((patch, replace = false) => {
    go(`/exporters${writeExporters({ ...parseExporters(location.search), ...patch }, location.search)}`, replace);
  }, []);
  return [view, change];
}
