// SPDX-License-Identifier: Apache-2.0
// Which time: relative or absolute, a step earlier or later, and asking again.
import { Button, Divider, Dropdown, DropdownItem, DropdownList, MenuToggle, type MenuToggleElement, Tooltip } from "@patternfly/react-core";
import AngleLeftIcon from "@patternfly/react-icons/dist/esm/icons/angle-left-icon";
import AngleRightIcon from "@patternfly/react-icons/dist/esm/icons/angle-right-icon";
import ClockIcon from "@patternfly/react-icons/dist/esm/icons/outlined-clock-icon";
import SyncIcon from "@patternfly/react-icons/dist/esm/icons/sync-alt-icon";
import { type FormEvent, type Ref, useState } from "react";
import { zone } from "../format/units";
import { moved, RELATIVE, rangeLabel, sinceMs } from "../state/range";
import type { Change, View } from "../state/view";

interface Props {
  view: View;
  onView: Change;
  onRefresh: () => void;
  refreshing: boolean;
}

export function TimeRange({ view, onView, onRefresh, refreshing }: Props) {
  const [open, setOpen] = useState(false);
  const absolute = view.from !== undefined;
  const step = (steps: number) => onView({ ...moved(view, steps, Date.now()), live: false });
  const relative = (since: string) => {
    setOpen(false);
    onView({ since, from: undefined, to: undefined, live: absolute ? true : view.live });
  };
  return (
    <div className="fg-range">
      <Tooltip content="Earlier">
        <Button variant="plain" aria-label="Earlier" icon={<AngleLeftIcon />} onClick={() => step(-1)} />
      </Tooltip>
      <Dropdown
        isOpen={open}
        onOpenChange={setOpen}
        popperProps={{ position: "right" }}
        toggle={(ref: Ref<MenuToggleElement>) => (
          <MenuToggle ref={ref} className="fg-range-toggle" icon={<ClockIcon />} isExpanded={open} onClick={() => setOpen(!open)} aria-label="Time range">
            {rangeLabel(view)}
          </MenuToggle>
        )}
      >
        <DropdownList>
          {RELATIVE.map((one) => (
            <DropdownItem key={one.since} isSelected={!absolute && one.since === view.since} onClick={() => relative(one.since)}>
              {one.label}
            </DropdownItem>
          ))}
        </DropdownList>
        <Divider />
        <AbsoluteForm view={view} onRange={(from, to) => (setOpen(false), onView({ from, to, live: false }))} />
      </Dropdown>
      <Tooltip content="Later">
        <Button variant="plain" aria-label="Later" icon={<AngleRightIcon />} isDisabled={!absolute} onClick={() => step(1)} />
      </Tooltip>
      <Tooltip content="Ask again now">
        <Button variant="plain" aria-label="Refresh" className={refreshing ? "fg-turning" : ""} icon={<SyncIcon />} onClick={onRefresh} />
      </Tooltip>
    </div>
  );
}

/** A time as an `<input type="datetime-local">` wants it: local, without a zone. */
function local(ms: number): string {
  const shifted = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19);
}

function AbsoluteForm({ view, onRange }: { view: View; onRange: (from: number, to: number) => void }) {
  const now = Date.now();
  const [from, setFrom] = useState(local(view.from ?? now - sinceMs(view.since)));
  const [to, setTo] = useState(local(view.to ?? now));
  const start = Date.parse(from);
  const end = Date.parse(to);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (start < end) onRange(start, end);
  };
  return (
    <form className="fg-absolute" onSubmit={submit}>
      <label>
        From ({zone(start || now)})
        <input type="datetime-local" step={1} value={from} onChange={(event) => setFrom(event.target.value)} />
      </label>
      <label>
        To ({zone(end || now)})
        <input type="datetime-local" step={1} value={to} onChange={(event) => setTo(event.target.value)} />
      </label>
      <Button type="submit" variant="secondary" size="sm" isDisabled={!(start < end)}>
        Use this range
      </Button>
    </form>
  );
}
