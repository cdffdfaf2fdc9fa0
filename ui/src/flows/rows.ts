// SPDX-License-Identifier: Apache-2.0
// The rows of the flows table: what the store has and what just arrived, newest first, each once.
import { useRef } from "react";
import { LIVE_ROWS } from "../api/live";
import type { Flows, Row } from "../api/types";
import { endMs, flowKey, text } from "../format/flow";

export interface KeyedRow {
  key: string;
  row: Row;
}

/** Other observations of packets that another row counts. */
const isDuplicate = (row: Row): boolean => !["", "counted"].includes(text(row, "duplicate_of"));

/** Both sources together, no older than the answer's window; of a flow that is in both, the stored one. */
export function merged(stored: Pick<Flows, "rows" | "window"> | undefined, live: readonly Row[]): KeyedRow[] {
  const rows = new Map<string, Row>();
  const from = stored?.window.from_ms ?? 0;
  for (const row of [...(stored?.rows ?? []), ...live]) {
    const key = flowKey(row);
    if (!rows.has(key) && !isDuplicate(row) && endMs(row) >= from) rows.set(key, row);
  }
  return [...rows]
    .map(([key, row]) => ({ key, row }))
    .toSorted((a, b) => endMs(b.row) - endMs(a.row))
    .slice(0, LIVE_ROWS);
}

/** While paused, the rows as they were, and how many newer ones wait. Another `question` ends the pause. */
export function useTail(rows: KeyedRow[], paused: boolean, question: string): { rows: KeyedRow[]; waiting: number } {
  const held = useRef<{ rows: KeyedRow[]; question: string }>({ rows, question });
  if (!paused || held.current.question !== question || held.current.rows.length === 0) held.current = { rows, question };
  const shown = held.current.rows;
  if (shown === rows) return { rows, waiting: 0 };
  const known = new Set(shown.map((one) => one.key));
  const newest = shown[0] ? endMs(shown[0].row) : 0;
  return { rows: shown, waiting: rows.filter((one) => !known.has(one.key) && endMs(one.row) >= newest).length };
}
