// SPDX-License-Identifier: Apache-2.0
// What goes wrong, the gravest first: in words, with its cause, since when, between whom, and where to look.
import { Button } from "@patternfly/react-core";
import FailingIcon from "@patternfly/react-icons/dist/esm/icons/exclamation-circle-icon";
import SlowIcon from "@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon";
import OverIcon from "@patternfly/react-icons/dist/esm/icons/history-icon";
import { useState } from "react";
import type { Topology, TopologyEdge } from "../api/types";
import { edgeFilter, healthOf, nodeWords } from "../format/edge";
import { goesOn, troubled, troubleTime } from "../format/summary";
import { capital, counted } from "../format/units";
import { PacketsLink } from "../packets/PacketsLink";
import { edgeKey } from "../state/open";
import { packetsLink } from "../state/packets";
import { narrowed } from "../state/terms";
import type { Change, View } from "../state/view";
import "./troubles.css";

/** As many are read at a glance. */
const AT_A_GLANCE = 3;

interface Props {
  topology: Topology;
  view: View;
  onView: Change;
}

export function Troubles({ topology, view, onView }: Props) {
  const [all, setAll] = useState(false);
  const found = troubled(topology);
  if (found.length === 0) return null;
  const shown = all ? found : found.slice(0, AT_A_GLANCE);
  return (
    <section className="fg-troubles" aria-label="What goes wrong">
      <ul>
        {shown.map((edge) => (
          <OfEdge key={edgeKey(edge)} edge={edge} topology={topology} view={view} onView={onView} />
        ))}
      </ul>
      {found.length > AT_A_GLANCE && (
        <Button variant="link" isInline onClick={() => setAll(!all)}>
          {all ? "Show the gravest only" : `and ${counted(found.length - AT_A_GLANCE, "more conversation")}`}
        </Button>
      )}
    </section>
  );
}

function OfEdge({ edge, topology, view, onView }: Props & { edge: TopologyEdge }) {
  const [src, dst] = [edge.src, edge.dst].map((id) => topology.nodes.find((one) => one.id === id));
  const failing = healthOf(edge) === "failing";
  const over = !edge.troubles.some((one) => goesOn(one, topology.window.to_ms));
  const filter = src && dst ? edgeFilter(edge, src, dst, topology) : "";
  return (
    <li className={over ? "fg-trouble-over" : failing ? "fg-trouble-failing" : "fg-trouble-slow"}>
      {over ? <OverIcon aria-label="over" /> : failing ? <FailingIcon aria-label="failing" /> : <SlowIcon aria-label="slow" />}
      <div>
        {edge.troubles.map((one) => (
          <p key={one.words}>
            {capital(one.words)}. <span className="fg-context">{troubleTime(one, topology.window.to_ms)}</span>
            <span className="fg-trouble-advice">{capital(one.advice)}.</span>
          </p>
        ))}
        <p className="fg-context">
          {nodeWords(src, edge.src)} → {nodeWords(dst, edge.dst)}
        </p>
      </div>
      <span className="fg-trouble-ways">
        <Button variant="secondary" size="sm" onClick={() => onView({ open: edgeKey(edge) })}>
          Details
        </Button>
        {filter && (
          <Button variant="secondary" size="sm" onClick={() => onView({ filter: narrowed(view.filter, `(${filter})`), tab: "flows" })}>
            Flows
          </Button>
        )}
        {filter && !view.dataset && <PacketsLink href={packetsLink({ filter })} />}
      </span>
    </li>
  );
}
