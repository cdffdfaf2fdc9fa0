// SPDX-License-Identifier: Apache-2.0
// The filter: one line of text with completion; the character at fault is underlined, and the fix is one click.
import { Button } from "@patternfly/react-core";
import FilterIcon from "@patternfly/react-icons/dist/esm/icons/filter-icon";
import TimesIcon from "@patternfly/react-icons/dist/esm/icons/times-icon";
import { useQueryClient } from "@tanstack/react-query";
import { type KeyboardEvent, type RefObject, useEffect, useId, useState } from "react";
import { filterCheck, useCompletions, useFilterCheck } from "../api/queries";
import type { Completion, FilterProblem } from "../api/types";
import { useDelayed } from "../common/delayed";
import type { View } from "../state/view";
import { CompletionList } from "./CompletionList";
import "./filter.css";

interface Props {
  view: View;
  input: RefObject<HTMLInputElement>;
  onFilter: (filter: string) => void;
}

const CHECK_MS = 150;

export function FilterBar({ view, input, onFilter }: Props) {
  const [text, setText] = useState(view.filter);
  const [cursor, setCursor] = useState(0);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const [scroll, setScroll] = useState(0);
  const client = useQueryClient();
  const listId = useId();
  const errorId = useId();
  useEffect(() => setText(view.filter), [view.filter]);

  const settled = useDelayed(text, CHECK_MS);
  const check = useFilterCheck(settled);
  const found = settled === text && text.trim() && !check.isPlaceholderData && check.data && !check.data.ok ? check.data.error : null;
  // What ends too early is not wrong while somebody still writes it.
  const problem = open && found?.at !== undefined && found.at >= text.trimEnd().length ? null : found;
  const offers = useCompletions(view, settled, Math.min(cursor, settled.length), open).data ?? [];

  const apply = (filter: string) => {
    setText(filter);
    setOpen(false);
    setActive(-1);
    onFilter(filter.trim());
  };
  /** Applies what is a filter; of anything else the bar says what is wrong. */
  const submit = async (filter: string) => {
    const answer = filter.trim() ? await client.ensureQueryData(filterCheck(filter)).catch(() => undefined) : undefined;
    if (answer?.ok === false) setOpen(false);
    else apply(filter);
  };
  const take = (offer: Completion) => {
    const next = text.slice(0, offer.at) + offer.insert + text.slice(offer.at + offer.length);
    const place = offer.at + offer.insert.length;
    setText(next);
    setCursor(place);
    setActive(-1);
    requestAnimationFrame(() => input.current?.setSelectionRange(place, place));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const offer = offers[active];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setOpen(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      setActive((now) => (offers.length ? (now + step + offers.length + (now < 0 && step < 0 ? 1 : 0)) % offers.length : -1));
    } else if (event.key === "Tab" && open && offer) {
      event.preventDefault();
      take(offer);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (open && offer) take(offer);
      else void submit(text);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (open) setOpen(false);
      else input.current?.blur();
    }
  };
  return (
    <div className="fg-filter">
      <div className={`fg-filter-box ${problem ? "fg-filter-wrong" : ""}`}>
        <FilterIcon className="fg-filter-icon" aria-hidden />
        <div className="fg-filter-field">
          <Underline text={text} problem={problem} scroll={scroll} />
          <input
            ref={input}
            className="fg-filter-input"
            value={text}
            placeholder="Filter: namespace = flow-demo and port = 5432"
            aria-label="Filter"
            role="combobox"
            aria-autocomplete="list"
            aria-expanded={open && offers.length > 0}
            aria-controls={listId}
            aria-activedescendant={active >= 0 ? `${listId}-${active}` : undefined}
            aria-invalid={problem !== null}
            aria-describedby={problem ? errorId : undefined}
            spellCheck={false}
            autoComplete="off"
            autoCapitalize="off"
            onChange={(event) => {
              setText(event.target.value);
              setCursor(event.target.selectionStart ?? event.target.value.length);
              setOpen(true);
              setActive(-1);
            }}
            onSelect={(event) => setCursor(event.currentTarget.selectionStart ?? 0)}
            onScroll={(event) => setScroll(event.currentTarget.scrollLeft)}
            onFocus={() => setOpen(true)}
            onBlur={() => setOpen(false)}
            onKeyDown={onKeyDown}
          />
        </div>
        {text !== view.filter && !problem && (
          <Button variant="link" isInline className="fg-filter-apply" onClick={() => void submit(text)}>
            Apply <kbd>Enter</kbd>
          </Button>
        )}
        {text && <Button variant="plain" size="sm" aria-label="Clear filter" icon={<TimesIcon />} onClick={() => apply("")} />}
        {!text && <kbd className="fg-hint">/</kbd>}
      </div>
      {open && offers.length > 0 && <CompletionList id={listId} offers={offers} active={active} onTake={take} />}
      {problem && <Problem id={errorId} text={text} problem={problem} onFix={apply} />}
    </div>
  );
}

/** A copy of the text below the input that shows only where it is wrong. */
function Underline({ text, problem, scroll }: { text: string; problem: FilterProblem | null; scroll: number }) {
  if (problem?.at === undefined) return null;
  const end = problem.at + (problem.length ?? 1);
  return (
    <div className="fg-filter-mirror" aria-hidden>
      <span style={{ marginLeft: -scroll }}>
        {text.slice(0, problem.at)}
        <mark>{text.slice(problem.at, end) || "\u00a0"}</mark>
      </span>
    </div>
  );
}

function Problem({ id, text, problem, onFix }: { id: string; text: string; problem: FilterProblem; onFix: (text: string) => void }) {
  const { at, suggestion, length = 1 } = problem;
  const fixed = at !== undefined && suggestion ? text.slice(0, at) + suggestion + text.slice(at + length) : "";
  return (
    <p id={id} className="fg-filter-problem" role="alert">
      {problem.message}
      {at !== undefined && ` (character ${at + 1})`}
      {fixed && (
        <Button variant="link" isInline onMouseDown={(event) => event.preventDefault()} onClick={() => onFix(fixed)}>
          use “{suggestion}”
        </Button>
      )}
    </p>
  );
}
