// SPDX-License-Identifier: Apache-2.0
// Flows as they arrive: the collector's server-sent events, connected again when the stream ends.
import { useEffect, useState } from "react";
import { address } from "./client";
import type { Row } from "./types";

/** Rows kept in memory while live; older ones are in the store. */
export const LIVE_ROWS = 500;
const PAINT_MS = 500;
const RECONNECT_MS = 5_000;

export type LiveState = "off" | "connecting" | "open" | "lost";

interface Batch {
  columns: string[];
  rows: (Row | unknown[])[];
  matched: number;
  skipped: number;
}

/** Rows of an event, whether sent as objects or as lists beside their columns. */
export function rowsOf(batch: Batch): Row[] {
  return batch.rows.map((row) => (Array.isArray(row) ? (Object.fromEntries(batch.columns.map((name, i) => [name, row[i]])) as Row) : row));
}

export interface Live {
  state: LiveState;
  /** Newest first. */
  rows: Row[];
  /** Rows that the stream left out because this page was too slow; they are in the store. */
  skipped: number;
}

const OFF: Live = { state: "off", rows: [], skipped: 0 };

/** Follows the stream while `enabled`. */
export function useLive(enabled: boolean, filter: string): Live {
  const [live, setLive] = useState<Live>(OFF);

  useEffect(() => {
    if (!enabled) {
      setLive(OFF);
      return;
    }
    setLive({ ...OFF, state: "connecting" });
    let pending: Row[] = [];
    let skipped = 0;
    const put = (state: LiveState) => setLive((now) => (now.state === state ? now : { ...now, state }));
    let source: EventSource;
    let again: ReturnType<typeof setTimeout>;
    const connect = () => {
      source = new EventSource(address("live", { filter }));
      source.onopen = () => put("open");
      source.onerror = () => {
        put("lost");
        // The browser gives up by itself after an answer that is no stream.
        if (source.readyState === EventSource.CLOSED) again = setTimeout(connect, RECONNECT_MS);
      };
      source.onmessage = (event: MessageEvent<string>) => {
        const batch = JSON.parse(event.data) as Batch;
        pending = [...rowsOf(batch).reverse(), ...pending].slice(0, LIVE_ROWS);
        skipped += batch.skipped ?? 0;
      };
    };
    connect();
    const painter = setInterval(() => {
      if (!pending.length) return;
      const fresh = pending;
      pending = [];
      setLive((now) => ({ state: "open", rows: [...fresh, ...now.rows].slice(0, LIVE_ROWS), skipped }));
    }, PAINT_MS);
    return () => {
      source.close();
      clearTimeout(again);
      clearInterval(painter);
    };
  }, [enabled, filter]);
  return live;
}
