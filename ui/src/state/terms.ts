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

/** Quoted texts, parentheses, and words: enough to see what stands outside all parentheses. */
const PIECES = /"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[()]|[^\s()"']+/g;

/** The parts of a filter between `word`s that stand outside parentheses and quotes. */
function split(filter: string, word: "and" | "or"): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (const { 0: piece, index } of filter.matchAll(PIECES)) {
    if (piece === "(") depth += 1;
    else if (piece === ")") depth -= 1;
    else if (depth === 0 && piece.toLowerCase() === word) {
      parts.push(filter.slice(from, index).trim());
      from = index + piece.length;
    }
  }
  return [...parts, filter.slice(from).trim()];
}

const closed = (filter: string): string => (split(filter, "or").length > 1 ? `(${filter})` : filter);

/** `filter` narrowed by further terms; what contains `or` is put in parentheses, what is there already is not repeated. */
export function narrowed(filter: string, ...more: string[]): string {
  const base = filter.trim();
  const known = base && split(base, "or").length === 1 ? split(base, "and") : [base];
  const fresh = more.map(closed).filter((one) => one && !known.includes(one));
  return fresh.length ? [closed(base), ...fresh].filter(Boolean).join(" and ") : base;
}
