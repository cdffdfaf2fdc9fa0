// SPDX-License-Identifier: Apache-2.0
// Writing filter text for what people click. Understanding it is the API's task.

const PLAIN = /^[A-Za-z0-9_][A-Za-z0-9_.:/-]*$/;
const WORDS = new Set(["and", "or", "not", "in"]);

/** A value as the filter language wants it: bare when simple, else quoted. */
export function quoted(value: string | number): string {
  const text = String(value);
  return PLAIN.test(text) && !WORDS.has(text.toLowerCase()) ? text : `"${text.replace(/(["\\])/g, "\\$1")}"`;
}

export function term(column: string, value: string | number, operator: "=" | "!=" = "="): string {
  return `${column} ${operator} ${quoted(value)}`;
}

/** `filter` narrowed by `more`; a filter with `or` is put in parentheses first. */
export function narrowed(filter: string, ...more: string[]): string {
  const parts = more.filter((one) => one && !filter.includes(one));
  const base = filter.trim();
  if (!parts.length) return base;
  const first = base && /\bor\b/i.test(base) && !/^\(.*\)$/.test(base) ? `(${base})` : base;
  return [first, ...parts].filter(Boolean).join(" and ");
}
