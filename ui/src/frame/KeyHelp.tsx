// SPDX-License-Identifier: Apache-2.0
// The keys of a page; `?` shows them.
import { Button, Popover } from "@patternfly/react-core";
import KeyboardIcon from "@patternfly/react-icons/dist/esm/icons/keyboard-icon";
import { useState } from "react";
import { useKeys } from "../common/keys";
import { type PageName, PAGES } from "./PageLinks";

/** A key, what it does, and the pages that have it: none means all. */
const KEYS: readonly [string, string, ...PageName[]][] = [
  ["/", "write a filter", "traffic"],
  ["/", "choose packets", "packets"],
  ["/", "find exporters", "exporters"],
  ["j  k", "next, previous row", "traffic", "nodes", "exporters"],
  ["Enter", "detail of the row", "traffic", "nodes", "exporters"],
  ["Esc", "close the detail", "traffic", "nodes", "exporters"],
  ["[  ]", "earlier, later", "traffic", "nodes"],
  ...PAGES.map((page): [string, string] => [`g  ${page.key}`, `go to ${page.title}`]),
  ["?", "these keys"],
];

/** `page` is the one whose keys these are. */
export function KeyHelp({ page }: { page: PageName }) {
  const [open, setOpen] = useState(false);
  useKeys({ "?": () => setOpen((now) => !now) });
  return (
    <Popover
      isVisible={open}
      shouldOpen={() => setOpen(true)}
      shouldClose={() => setOpen(false)}
      aria-label="Keys"
      headerContent="Keys"
      bodyContent={
        <dl className="fg-keys">
          {KEYS.filter(([, , ...only]) => only.length === 0 || only.includes(page)).map(([key, words]) => (
            <div key={words}>
              <dt>
                <kbd>{key}</kbd>
              </dt>
              <dd>{words}</dd>
            </div>
          ))}
        </dl>
      }
    >
      <Button variant="plain" className="fg-wide-only" aria-label="Show the keys" icon={<KeyboardIcon />} />
    </Popover>
  );
}
