// SPDX-License-Identifier: Apache-2.0
// What a panel can be taken away as: the same question in a terminal, at the API, as a file.
import { Dropdown, DropdownItem, DropdownList, MenuToggle, type MenuToggleElement } from "@patternfly/react-core";
import EllipsisIcon from "@patternfly/react-icons/dist/esm/icons/ellipsis-v-icon";
import { type Ref, useState } from "react";
import { address, type Params } from "../api/client";
import { csv, save } from "../format/csv";
import { command } from "../state/command";
import type { View } from "../state/view";
import { rangeParams } from "../state/range";

interface Props {
  view: View;
  /** What the panel asked the API. */
  path: string;
  params: Params;
  /** Further options of `flowgauge flows` that give the same. */
  options?: string;
  rows: () => Record<string, unknown>[];
}

export function PanelMenu({ view, path, params, options = "", rows }: Props) {
  const [open, setOpen] = useState(false);
  const link = address(path, { ...rangeParams(view), filter: view.filter, ...params });
  const copy = (text: string) => void navigator.clipboard?.writeText(text);
  const name = `flowgauge-${path}`;
  return (
    <Dropdown
      isOpen={open}
      onOpenChange={setOpen}
      onSelect={() => setOpen(false)}
      popperProps={{ position: "right", maxWidth: "380px" }}
      toggle={(ref: Ref<MenuToggleElement>) => (
        <MenuToggle ref={ref} variant="plain" size="sm" aria-label="Take this away" icon={<EllipsisIcon />} isExpanded={open} onClick={() => setOpen(!open)} />
      )}
    >
      <DropdownList>
        <DropdownItem description={command(view, options)} onClick={() => copy(command(view, options))}>
          Copy as command
        </DropdownItem>
        <DropdownItem onClick={() => copy(location.origin + link)}>Copy as API query</DropdownItem>
        <DropdownItem onClick={() => save(`${name}.csv`, "text/csv", csv(rows()))}>Save as CSV</DropdownItem>
        <DropdownItem onClick={() => save(`${name}.json`, "application/json", JSON.stringify(rows(), null, 2))}>Save as JSON</DropdownItem>
      </DropdownList>
    </Dropdown>
  );
}
