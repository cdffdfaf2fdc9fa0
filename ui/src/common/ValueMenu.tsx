// SPDX-License-Identifier: Apache-2.0
// Every value can be clicked: filter by it, exclude it, copy it. One menu serves the whole page.
import { Divider, Menu, MenuContent, MenuItem, MenuList } from "@patternfly/react-core";
import CopyIcon from "@patternfly/react-icons/dist/esm/icons/copy-icon";
import FilterIcon from "@patternfly/react-icons/dist/esm/icons/filter-icon";
import TimesCircleIcon from "@patternfly/react-icons/dist/esm/icons/times-circle-icon";
import { createContext, type MouseEvent, type ReactNode, useContext, useEffect, useRef, useState } from "react";
import { quoted, term } from "../state/terms";

export interface Clicked {
  column: string;
  value: string | number;
  /** A filter to use instead of `column = value`, for things that several columns name. */
  filter?: string;
}

interface Open extends Clicked {
  left: number;
  top: number;
  from: HTMLElement;
  /** Where `from` was when the menu opened. */
  at: DOMRect;
}

const OpenMenu = createContext<(clicked: Clicked, from: HTMLElement) => void>(() => undefined);

const MENU_WIDTH = 300;
const MENU_HEIGHT = 170;

/** Gives `Value` its menu; `onNarrow` takes a filter term to add. */
export function ValueMenuProvider({ onNarrow, children }: { onNarrow: (term: string) => void; children: ReactNode }) {
  const [open, setOpen] = useState<Open>();
  const box = useRef<HTMLDivElement>(null);
  const show = (clicked: Clicked, from: HTMLElement) => {
    const place = from.getBoundingClientRect();
    const top = place.bottom + MENU_HEIGHT > innerHeight ? place.top - MENU_HEIGHT : place.bottom + 4;
    setOpen({ ...clicked, from, at: place, left: Math.max(8, Math.min(place.left, innerWidth - MENU_WIDTH - 8)), top: Math.max(8, top) });
  };
  useEffect(() => {
    if (!open) return;
    box.current?.querySelector<HTMLElement>("button")?.focus();
    const close = () => setOpen(undefined);
    // Scrolling closes it only if the value moves: other parts scroll by themselves, and an event may tell of a scroll before the click.
    const onScroll = () => {
      const now = open.from.getBoundingClientRect();
      if (now.top !== open.at.top || now.left !== open.at.left) close();
    };
    const onPointer = (event: Event) => box.current?.contains(event.target as Node) || close();
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape" && event.key !== "Tab") return;
      event.stopPropagation();
      close();
      open.from.focus();
    };
    document.addEventListener("pointerdown", onPointer, true);
    document.addEventListener("keydown", onKey, true);
    addEventListener("resize", close);
    document.addEventListener("scroll", onScroll, true);
    return () => {
      document.removeEventListener("pointerdown", onPointer, true);
      document.removeEventListener("keydown", onKey, true);
      removeEventListener("resize", close);
      document.removeEventListener("scroll", onScroll, true);
    };
  }, [open]);

  const choose = (act: () => void) => () => {
    act();
    setOpen(undefined);
  };
  return (
    <OpenMenu.Provider value={show}>
      {children}
      {open && (
        <div ref={box} className="fg-value-menu" style={{ left: open.left, top: open.top, width: MENU_WIDTH }}>
          <Menu>
            <MenuContent>
              <MenuList aria-label={`${open.column} ${open.value}`}>
                <MenuItem icon={<FilterIcon />} description={positive(open)} onClick={choose(() => onNarrow(positive(open)))}>
                  Filter by this
                </MenuItem>
                <MenuItem icon={<TimesCircleIcon />} description={negative(open)} onClick={choose(() => onNarrow(negative(open)))}>
                  Exclude this
                </MenuItem>
                <Divider component="li" />
                <MenuItem icon={<CopyIcon />} onClick={choose(() => void navigator.clipboard?.writeText(String(open.value)))}>
                  Copy
                </MenuItem>
              </MenuList>
            </MenuContent>
          </Menu>
        </div>
      )}
    </OpenMenu.Provider>
  );
}

const positive = (clicked: Clicked): string => clicked.filter ?? term(clicked.column, clicked.value);
const negative = (clicked: Clicked): string => (clicked.filter ? `not (${clicked.filter})` : `${clicked.column} != ${quoted(clicked.value)}`);

export const useValueMenu = () => useContext(OpenMenu);

interface ValueProps extends Clicked {
  children?: ReactNode;
  className?: string;
  title?: string;
}

/** A value that opens the menu; without a column it is plain text. */
export function Value({ column, value, filter, children, className = "", title }: ValueProps) {
  const show = useValueMenu();
  const shown = children ?? String(value);
  if (!column || value === "") return <span className={className}>{shown}</span>;
  const onClick = (event: MouseEvent<HTMLButtonElement>) => {
    event.stopPropagation();
    show(filter ? { column, value, filter } : { column, value }, event.currentTarget);
  };
  return (
    <button type="button" className={`fg-value ${className}`} title={title} aria-haspopup="menu" onClick={onClick}>
      {shown}
    </button>
  );
}
