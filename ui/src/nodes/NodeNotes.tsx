// SPDX-License-Identifier: Apache-2.0
// What the nodes that something passed had no room for at that time, each with a way to it; nothing where all was well.
import OverIcon from "@patternfly/react-icons/dist/esm/icons/history-icon";
import WarningIcon from "@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon";
import { useNodes } from "../api/queries";
import type { NodeCongestion } from "../api/types";
import { counted } from "../format/units";
import { follow } from "../state/address";
import { nodesLink, type View } from "../state/view";
import { byNeed, goesOn, knownUntil, lastWords } from "./signs";
import "../common/troubles.css";
import "./nodes.css";

/** As many are read at a glance. */
const NODES = 3;
const SIGNS = 2;

const linkOf = (view: View, open: string): string => nodesLink({ since: view.since, from: view.from, to: view.to, live: view.live, open });

/** Above the map: of all nodes, in the view's time. */
export function NodeTroubles({ view }: { view: View }) {
  const answer = useNodes(view, !view.dataset).data;
  const endMs = answer ? knownUntil(answer, Date.now()) : 0;
  const looks = byNeed(answer?.nodes ?? [], endMs).filter((one) => one.signs.length > 0);
  if (looks.length === 0 || view.dataset) return null;
  return (
    <section className="fg-troubles" aria-label="What nodes had no room for">
      <ul>
        {looks.slice(0, NODES).map((one) => (
          <li key={one.node} className={goesOn(one) ? "fg-trouble-slow" : "fg-trouble-over"}>
            {goesOn(one) ? <WarningIcon aria-label="to look at" /> : <OverIcon aria-label="over" />}
            <div>
              <Sentences one={one} endMs={endMs} more={view.filter && "of the whole node, whatever the filter"} />
            </div>
            <span className="fg-trouble-ways">
              <a className="pf-v6-c-button pf-m-secondary pf-m-small" href={linkOf(view, one.node)} onClick={follow} aria-label={`Node ${one.node}`}>Node</a>
            </span>
          </li>
        ))}
      </ul>
      {looks.length > NODES && <a href={linkOf(view, "")} onClick={follow}>and {counted(looks.length - NODES, "more node")}</a>}
    </section>
  );
} // prettier-ignore

/** In a detail: of the nodes with these names. */
export function NodeNotes({ names, view }: { names: readonly string[]; view: View }) {
  const answer = useNodes(view, names.length > 0 && !view.dataset).data;
  const looks = (answer?.nodes ?? []).filter((one) => names.includes(one.node) && one.signs.length > 0);
  if (names.length === 0 || !answer) return null;
  return (
    <>
      {looks.map((one) => (
        <div key={one.node} className="fg-node-note">
          <Sentences one={one} endMs={knownUntil(answer, Date.now())} more="" />
          <a href={linkOf(view, one.node)} onClick={follow}>What {one.node} dropped then, and what to do</a>
        </div>
      ))}
    </>
  );
} // prettier-ignore

function Sentences({ one, endMs, more }: { one: NodeCongestion; endMs: number; more: string }) {
  const further = one.signs.length - SIGNS;
  const context = [further > 0 ? `and ${counted(further, "more sign")}` : "", more].filter(Boolean).join("; ");
  return (
    <>
      {one.signs.slice(0, SIGNS).map((sign) => (
        <p key={`${sign.counter} ${sign.device}`}>
          {one.node}: {sign.words} <span className="fg-context">{lastWords(sign, endMs)}</span>
        </p>
      ))}
      {context && <p className="fg-context">{context}</p>}
    </>
  );
}
