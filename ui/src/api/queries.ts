// SPDX-License-Identifier: Apache-2.0
// What the pages ask. While live, each is asked again; an answer stays on screen until the next one is there.
import { keepPreviousData, queryOptions, useQuery } from "@tanstack/react-query";
import { useRef } from "react";
import { rangeParams } from "../state/range";
import type { View } from "../state/view";
import { ApiError, get } from "./client";
import { isOutage, REFRESH_MS, SHOWN } from "./outage";
import type { Completion, Dataset, Exporters, FilterCheck, Flows, HeadsNode, Ledger, Nodes, NodesHistory, SeriesAnswer, Status, Topology } from "./types";

/** Once: what is not answered then is said, and asked again every few seconds. */
const retry = (failures: number, error: Error): boolean => failures < 1 && !(error instanceof ApiError && error.status >= 400 && error.status < 500);

export interface Answered<T> {
  /** The newest answer, also while another is under way and after one failed. */
  data: T | undefined;
  /** Whether it answers an earlier question, because this one's answer is not there. */
  stale: boolean;
  error: Error | null;
  /** Whether that is because the server does not answer, which the page says once. */
  outage: boolean;
  isFetching: boolean;
  refetch: () => void;
}

function useAnswer<T>(view: View, path: string, params: Record<string, string | number>, enabled = true): Answered<T> {
  const asked = { ...rangeParams(view), filter: view.filter, ...params };
  const last = useRef<T>();
  const { data, error, isFetching, isPlaceholderData, refetch } = useQuery<T>({
    queryKey: [path, asked],
    queryFn: ({ signal }) => get<T>(path, asked, signal),
    placeholderData: keepPreviousData,
    refetchInterval: view.live ? REFRESH_MS : false,
    enabled,
    retry,
    meta: SHOWN,
  });
  last.current = data ?? last.current;
  return { data: last.current, stale: isPlaceholderData || data === undefined, error, outage: isOutage(error, false), isFetching, refetch: () => void refetch() };
}

export const FLOW_LIMIT = 200;
/** Who talks to whom, peers by what else they go by, as on the map. */
export const SERIES_BY = { by: "src_owner,dst_owner", by_peer: "true" };
/** Each pair is two series, one a direction; six pairs are shown. */
export const SERIES_TOP = 16;

export const useFlows = (view: View) => useAnswer<Flows>(view, "flows", { limit: FLOW_LIMIT });
export const useSeries = (view: View) => useAnswer<SeriesAnswer>(view, "series", { ...SERIES_BY, measure: "bytes", top: SERIES_TOP });
export const useTopology = (view: View) => useAnswer<Topology>(view, "topology", {});
export const useLedger = (view: View, enabled: boolean) => useAnswer<Ledger>({ ...view, filter: "" }, "ledger", {}, enabled);
export const useNodes = (view: View, enabled = true) => useAnswer<Nodes>({ ...view, filter: "" }, "nodes", {}, enabled);

export const useNodesHistory = (view: View) => useAnswer<NodesHistory>({ ...view, filter: "" }, "nodes/history", {});
/** Bytes of the flows that a filter chooses, over time. */
export const useBytes = (view: View, filter: string, stepMs: number) =>
  useAnswer<SeriesAnswer>({ ...view, filter }, "series", { by: "proto", measure: "bytes", top: 1, step_ms: stepMs }, stepMs > 0);

/** Not the store but a further part is asked, by one panel alone. */
const OF_PART = { ofPart: true };

/** Who sends, asked again by itself; after a failure the last answer stays. */
export function useExporters(): Answered<Exporters> {
  const { data, error, isFetching, refetch } = useQuery<Exporters>({
    queryKey: ["exporters"],
    queryFn: ({ signal }) => get<Exporters>("exporters", {}, signal),
    refetchInterval: REFRESH_MS,
    retry: false,
    meta: OF_PART,
  });
  return { data, stale: false, error, outage: isOutage(error, true), isFetching, refetch: () => void refetch() };
}

/** What nodes keep of packet heads. */
export function useHeads(): Answered<{ nodes: HeadsNode[] }> {
  const { data, error, isFetching, refetch } = useQuery<{ nodes: HeadsNode[] }>({
    queryKey: ["heads"],
    queryFn: ({ signal }) => get<{ nodes: HeadsNode[] }>("capture/nodes", {}, signal),
    refetchInterval: REFRESH_MS,
    retry: false,
    meta: OF_PART,
  });
  return { data, stale: false, error, outage: isOutage(error, true), isFetching, refetch: () => void refetch() };
}

export const useStatus = () =>
  useQuery<Status>({ queryKey: ["status"], queryFn: ({ signal }) => get<Status>("status", {}, signal), refetchInterval: REFRESH_MS, retry });

/** Named datasets; they change when somebody reads captures in. */
export const useDatasets = () =>
  useQuery<{ datasets: Dataset[] }>({ queryKey: ["datasets"], queryFn: ({ signal }) => get<{ datasets: Dataset[] }>("datasets", {}, signal), refetchInterval: 60_000, retry });

/** Whether a text is a filter; the answer never changes. */
export const filterCheck = (text: string) =>
  queryOptions({ queryKey: ["filter", text], queryFn: () => get<FilterCheck>("filter", { text }), staleTime: Infinity, retry });

export const useFilterCheck = (text: string) => useQuery({ ...filterCheck(text), placeholderData: keepPreviousData, enabled: text.trim() !== "" });

export const useCompletions = (view: View, text: string, cursor: number, enabled: boolean) =>
  useQuery<Completion[]>({
    queryKey: ["complete", text, cursor, rangeParams(view)],
    queryFn: ({ signal }) => get<Completion[]>("complete", { text, cursor, ...rangeParams(view) }, signal),
    placeholderData: keepPreviousData,
    staleTime: 30_000,
    enabled,
    retry,
  });

/** The one flow that a key in the URL names. */
export const useOneFlow = (asked: { filter: string; from: number; to: number; dataset: string } | undefined) =>
  useQuery<Flows>({
    queryKey: ["flow", asked],
    queryFn: ({ signal }) => get<Flows>("flows", { ...asked, limit: 1, duplicates: true }, signal),
    enabled: asked !== undefined,
    staleTime: Infinity,
    retry,
  });
