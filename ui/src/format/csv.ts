// SPDX-License-Identifier: Apache-2.0
// Rows as a file.

/** RFC 4180 §2: fields with separators, quotes or line ends are quoted. A leading `=`, `+`, `-` or `@` of a text gets a quote before it, so that no spreadsheet runs it. */
function field(value: unknown): string {
  if (value === null || value === undefined) return "";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** CSV with a line of column names: all that any row has, in the order of their first appearance. */
export function csv(rows: readonly Record<string, unknown>[]): string {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => `${line.map(field).join(",")}\r\n`).join("");
}

/** Offers `parts` as a download. */
export function save(name: string, type: string, ...parts: BlobPart[]): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
