// SPDX-License-Identifier: Apache-2.0
// Whether the server answers, of all questions of the page together; while it does not, they are asked again by themselves.
import { type Query, type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ApiError } from "./client";

/** Agents send running flows every few seconds; asking more often shows nothing new. */
export const REFRESH_MS = 5_000;

/** Nobody answers, or the server has no store to ask. Of what only one panel asks of a further part (`ofPart`), that panel says it. */
export const isOutage = (error: Error | null, ofPart: boolean): error is ApiError =>
  error instanceof ApiError && ([0, 502, 504].includes(error.status) || (error.status === 503 && !ofPart));

const isOut = ({ state, meta }: Query): boolean => isOutage(state.error, meta?.["ofPart"] === true);

/** Of a question whose answer a panel shows; others are answered without the store, too. */
export const SHOWN = { shown: true };

export const isShown = ({ meta }: Query): boolean => meta?.["shown"] === true;

export interface Outage {
  /** What does not answer, as a sentence. */
  message: string;
  /** When the last answer came that a panel shows; 0: none has come yet. */
  lastMs: number;
}

/** Watches the answers of all questions; `onChange` hears the outage, and of its end. Gives what ends it. */
export function watch(client: QueryClient, onChange: (outage: Outage | undefined) => void): () => void {
  const cache = client.getQueryCache();
  const unanswered = new Map<string, string>();
  let lastMs = 0;
  return cache.subscribe((event) => {
    if (event.type !== "updated" || (event.action.type !== "success" && event.action.type !== "error")) return;
    const { queryHash, state } = event.query;
    const before = unanswered.size;
    if (event.action.type === "error" && isOut(event.query)) {
      if (before === 0) lastMs = Math.max(0, ...cache.findAll({ predicate: isShown }).map((one) => one.state.dataUpdatedAt));
      unanswered.set(queryHash, state.error?.message ?? "");
    } else {
      unanswered.delete(queryHash);
      for (const hash of unanswered.keys()) if (!cache.get(hash)?.isActive()) unanswered.delete(hash);
    }
    const [message] = unanswered.values();
    if (message !== undefined || before > 0) onChange(message === undefined ? undefined : { message, lastMs });
  });
}

/** The outage, if there is one; what it left unanswered is asked again every few seconds, also where nothing is live. */
export function useOutage(): Outage | undefined {
  const client = useQueryClient();
  const [outage, setOutage] = useState<Outage>();
  useEffect(() => watch(client, setOutage), [client]);
  const is = outage !== undefined;
  useEffect(() => {
    if (!is) return;
    const again = () => void client.refetchQueries({ type: "active", predicate: isOut }, { cancelRefetch: false });
    const timer = setInterval(again, REFRESH_MS);
    return () => clearInterval(timer);
  }, [client, is]);
  return outage;
}
