// SPDX-License-Identifier: Apache-2.0
// The keys of the page; `?` shows them.
import { Button, Popover } from "@patternfly/react-core";
import KeyboardIcon from "@patternfly/react-icons/dist/esm/icons/keyboard-icon";
import { useState } from "react";
import { useKeys } from "../common/keys";

const KEYS: readonly [string, string][] = [
  ["/", "write a filter"],
  ["j  k", "next, previous row"],
  ["Enter", "detail of the row"],
  ["Esc", "close the detail"],
  ["[  ]", "earlier, later"],
  ["?", "these keys"],
];

export function KeyHelp() {
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
          {KEYS.map(([key, words]) => (
            <div key={key}>
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
