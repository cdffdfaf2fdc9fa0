// SPDX-License-Identifier: Apache-2.0
// Live flows or a named dataset; not shown where there is none to choose.
import { Divider, Dropdown, DropdownItem, DropdownList, MenuToggle, type MenuToggleElement } from "@patternfly/react-core";
import DatabaseIcon from "@patternfly/react-icons/dist/esm/icons/database-icon";
import { type Ref, useState } from "react";
import { useDatasets } from "../api/queries";
import type { Dataset } from "../api/types";
import { counted, dateTime } from "../format/units";
import { DEFAULT_VIEW, type Change, type View } from "../state/view";

export function DatasetChoice({ view, onView }: { view: View; onView: Change }) {
  const [open, setOpen] = useState(false);
  const found = useDatasets().data?.datasets ?? [];
  if (found.length === 0 && !view.dataset) return null;
  return (
    <Dropdown
      isOpen={open}
      onOpenChange={setOpen}
      onSelect={() => setOpen(false)}
      toggle={(ref: Ref<MenuToggleElement>) => (
        <MenuToggle ref={ref} className="fg-range-toggle fg-dataset" icon={<DatabaseIcon />} isExpanded={open} onClick={() => setOpen(!open)} aria-label="Which flows">
          {view.dataset || "Live flows"}
        </MenuToggle>
      )}
    >
      <DropdownList>
        <DropdownItem isSelected={!view.dataset} onClick={() => onView(live())}>
          Live flows
        </DropdownItem>
        <Divider component="li" />
        {found.map((one) => (
          <DropdownItem key={one.name} isSelected={one.name === view.dataset} description={words(one)} onClick={() => onView(choice(one))}>
            {one.name}
          </DropdownItem>
        ))}
      </DropdownList>
    </Dropdown>
  );
}

const words = (one: Dataset): string => (one.flows ? `${counted(one.flows, "flow")}, ${dateTime(one.oldest_ms)} to ${dateTime(one.newest_ms)}` : "empty");

/** All of a dataset, whose flows are not of now. */
export const choice = (one: Dataset): Partial<View> => ({ dataset: one.name, from: one.oldest_ms, to: one.newest_ms + 1000, live: false, open: "" });

const live = (): Partial<View> => ({ dataset: "", from: undefined, to: undefined, live: DEFAULT_VIEW.live, open: "" });
