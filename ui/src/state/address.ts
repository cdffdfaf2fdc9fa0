// SPDX-License-Identifier: Apache-2.0
// The page's address: path and query are its whole state. Back and reload just work.
import { type MouseEvent, useSyncExternalStore } from "react";

const CHANGED = "flowgauge:address";

function subscribe(listener: () => void): () => void {
  addEventListener("popstate", listener);
  addEventListener(CHANGED, listener);
  return () => {
    removeEventListener("popstate", listener);
    removeEventListener(CHANGED, listener);
  };
}

/** Path and query, followed. */
export const useAddress = (): string => useSyncExternalStore(subscribe, () => location.pathname + location.search);

/** Goes to another address of this page without loading it again; `replace` makes no new step in the history. */
export function go(target: string, replace = false): void {
  if (target === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", target);
  dispatchEvent(new Event(CHANGED));
}

/** For a link to this page: a plain click goes there at once, any other does what the browser does with links. */
export const follow = (event: MouseEvent<HTMLAnchorElement>): void => {
  if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(event.currentTarget.pathname + event.currentTarget.search);
};

/** Sets a parameter, or takes it away when it says what goes without saying. */
export function put(query: URLSearchParams, name: string, value: string, fallback: string): void {
  if (value === fallback) query.delete(name);
  else query.set(name, value);
}

/** The query with its question mark, or nothing. */
export function queryText(query: URLSearchParams): string {
  const text = query.toString();
  return text ? `?${text}` : "";
}
