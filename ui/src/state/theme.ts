// SPDX-License-Identifier: Apache-2.0
// Light or dark: what the URL says, else what was chosen here before, else the system. public/theme.js applies it first.
import { useCallback, useSyncExternalStore } from "react";

export type Theme = "light" | "dark";

const DARK = "pf-v6-theme-dark";
const KEY = "flowgauge.theme";
const listeners = new Set<() => void>();

function current(): Theme {
  return document.documentElement.classList.contains(DARK) ? "dark" : "light";
}

export function useTheme(): [Theme, () => void] {
  const theme = useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, current);
  const toggle = useCallback(() => {
    const next: Theme = current() === "dark" ? "light" : "dark";
    document.documentElement.classList.toggle(DARK, next === "dark");
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // Without storage the choice lasts until the page is left.
    }
    listeners.forEach((listener) => listener());
  }, []);
  return [theme, toggle];
}

/** The value of a CSS variable, for canvas drawing. */
export function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
