// SPDX-License-Identifier: Apache-2.0
// The row on which the keys stand: `j` and `k` move it and, with a detail open, that too; Enter opens one.
import { useState } from "react";
import { onControl, useKeys } from "./keys";

/** The cursor among the rows `keys` and what opens one of them; `opened` is the row that is open. */
export function useCursor(keys: () => readonly string[], opened: string, onOpen: (key: string, replace?: boolean) => void): { cursor: string; open: (key: string) => void } {
  const [cursor, setCursor] = useState("");
  const open = (key: string) => {
    setCursor(key);
    onOpen(key);
  };
  const move = (step: number) => {
    const rows = keys();
    const key = rows[Math.min(rows.length - 1, Math.max(0, rows.indexOf(opened || cursor) + step))];
    if (!key) return;
    setCursor(key);
    if (opened) onOpen(key, true);
  };
  useKeys({ j: () => move(1), k: () => move(-1), Enter: (event) => !onControl(event) && cursor && open(cursor) });
  return { cursor, open };
}
