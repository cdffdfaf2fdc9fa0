// SPDX-License-Identifier: Apache-2.0
// Whether a question of a panel goes unanswered for long: a store that hangs refuses nothing, and what is shown grows old.
import { type Query, type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { isShown } from "./outage";

/** Most answers take less than a second; those over weeks may take this long. */
export const SLOW_MS = 10_000;
const LOOK_MS = 1_000;

export interface Slow {
  /** For how long nobody has answered. */
  forMs: number;
  /** When the last answer came that a panel shows; 0: none has come yet. */
  lastMs: number;
}

const waits = (query: Query): boolean => isShown(query) && query.state.fetchStatus === "fetching";

/** The oldest question of a panel that is under way, if that is an old one. `asked` has when each was asked, by its hash. */
function slowest(client: QueryClient, asked: ReadonlyMap<string, number>): Slow | undefined {
  const now = Date.now();
  const waiting = client.getQueryCache().findAll({ type: "active", predicate: waits });
  const forMs = Math.max(0, ...waiting.map(({ queryHash }) => now - (asked.get(queryHash) ?? now)));
  if (forMs < SLOW_MS) return undefined;
  return { forMs, lastMs: Math.max(0, ...client.getQueryCache().findAll({ predicate: isShown }).map((one) => one.state.dataUpdatedAt)) };
}

/** That panels wait for an answer, while they do. */
export function useSlow(): Slow | undefined {
  const client = useQueryClient();
  const [slow, setSlow] = useState<Slow>();
  useEffect(() => {
    const asked = new Map<string, number>();
    const stop = client.getQueryCache().subscribe((event) => {
      if (event.type === "removed") asked.delete(event.query.queryHash);
      else if (event.type === "updated" && event.action.type === "fetch") asked.set(event.query.queryHash, Date.now());
    });
    const timer = setInterval(() => setSlow(slowest(client, asked)), LOOK_MS);
    return () => {
      stop();
      clearInterval(timer);
    };
  }, [client]);
  return slow;
}
