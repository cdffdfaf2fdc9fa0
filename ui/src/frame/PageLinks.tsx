// SPDX-License-Identifier: Apache-2.0
// The pages there are; `g` and a page's letter go there.
import { useRef } from "react";
import { useKeys } from "../common/keys";
import { follow, go } from "../state/address";

export type PageName = "traffic" | "nodes" | "packets" | "exporters";

export const PAGES: readonly { name: PageName; title: string; key: string }[] = [
  { name: "traffic", title: "Traffic", key: "t" },
  { name: "nodes", title: "Nodes", key: "n" },
  { name: "packets", title: "Packets", key: "p" },
  { name: "exporters", title: "Exporters", key: "e" },
];

/** Within this time the letter belongs to `g`. */
const TOGETHER_MS = 1500;

export function PageLinks({ page }: { page: PageName }) {
  const began = useRef(-Infinity);
  const letters = PAGES.map((one) => [one.key, (event: KeyboardEvent) => event.timeStamp - began.current < TOGETHER_MS && go(`/${one.name}`)]);
  useKeys({ g: (event) => (began.current = event.timeStamp), ...(Object.fromEntries(letters) as Record<string, (event: KeyboardEvent) => void>) });
  return (
    <nav className="fg-pages" aria-label="Pages">
      {PAGES.map((one) => (
        <a key={one.name} href={`/${one.name}`} aria-current={one.name === page ? "page" : undefined} onClick={follow}>
          {one.title}
        </a>
      ))}
    </nav>
  );
}
