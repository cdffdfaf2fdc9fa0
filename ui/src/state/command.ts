// SPDX-License-Identifier: Apache-2.0
// The same question for a terminal.
import type { View } from "./view";

/** A word for a POSIX shell. */
export const shellWord = (text: string): string => (/^[\w./:=,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** The absolute range as the terminal takes it. */
const iso = (ms: number): string => new Date(ms).toISOString();

export function command(view: View, options = ""): string {
  const range = view.from !== undefined && view.to !== undefined ? `--from ${iso(view.from)} --to ${iso(view.to)}` : `--since ${view.since}`;
  return ["flowgauge flows", view.dataset ? `--dataset ${view.dataset}` : "", view.filter ? shellWord(view.filter) : "", range, options].filter(Boolean).join(" ");
}
