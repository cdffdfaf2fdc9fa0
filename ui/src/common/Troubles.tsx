// SPDX-License-Identifier: Apache-2.0
// What goes wrong, the gravest first: in words, with its cause, since when, between whom, and where to look.
import { Button } from "@patternfly/react-core";
import FailingIcon from "@patternfly/react-icons/dist/esm/icons/exclamation-circle-icon";
import SlowIcon from "@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon";
import OverIcon from "@patternfly/react-icons/dist/esm/icons/history-icon";
import SmallIcon from "@patternfly/react-icons/dist/esm/icons/info-circle-icon";
import { type ReactNode, useState } from "react";
import type { Topology, TopologyEdge, Trouble } from "../api/types";
import { edgeFilter, type Health, healthOf, nodeWords } from "../format/edge";
import { troubled, troubleTime } from "../format/summary";
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
  const [opened, setOpened] = useState(false);
  const { felt, small } = troubled(topology);
  if (felt.length + small.length === 0) return null;
  const shown = [...(all ? felt : felt.slice(0, AT_A_GLANCE)), ...(opened ? small : [])];
  return (
    <section className="fg-troubles" aria-label="What goes wrong">
      <ul>
        {shown.map((edge) => (
          <OfEdge key={edgeKey(edge)} edge={edge} topology={topology} view={view} onView={onView} />
        ))}
      </ul>
      <p className="fg-troubles-more">
        {felt.length > AT_A_GLANCE && (
          <Button variant="link" isInline onClick={() => setAll(!all)}>
            {all ? "Show the gravest only" : `and ${counted(felt.length - AT_A_GLANCE, "more conversation")}`}
          </Button>
        )}
        {small.length > 0 && (
          <Button variant="link" isInline aria-expanded={opened} title="Such as a stray packet: too few to be felt" onClick={() => setOpened(!opened)}>
            {opened ? "Hide small things" : counted(small.length, "small thing")}
          </Button>
        )}
      </p>
    </section>
  );
}

interface WordsProps {
  one: Trouble;
  endMs: number;
  /** Whether to say where to look: not above the same advice. */
  advised?: boolean;
  className?: string;
}

/** One trouble: what it is, when, and where to look next. */
export function TroubleWords({ one, endMs, advised = true, className = "" }: WordsProps) {
  return (
    <p className={className}>
      {capital(one.words)}. <span className="fg-context">{troubleTime(one, endMs)}</span>
      {advised && <span className="fg-trouble-advice">{capital(one.advice)}.</span>}
    </p>
  );
}

const MARKS: Record<Health, { className: string; mark: ReactNode }> = {
  failing: { className: "fg-trouble-failing", mark: <FailingIcon aria-label="failing" /> },
  slow: { className: "fg-trouble-slow", mark: <SlowIcon aria-label="slow" /> },
  over: { className: "fg-trouble-over", mark: <OverIcon aria-label="over" /> },
  fine: { className: "fg-trouble-over", mark: <SmallIcon aria-label="small" /> },
};

function OfEdge({ edge, topology, view, onView }: Props & { edge: TopologyEdge }) {
  const [src, dst] = [edge.src, edge.dst].map((id) => topology.nodes.find((one) => one.id === id));
  const { className, mark } = MARKS[healthOf(edge)];
  const filter = src && dst ? edgeFilter(edge, src, dst, topology) : "";
  return (
    <li className={className}>
      {mark}
      <div>
        {edge.troubles.map((one, i) => (
          <TroubleWords key={one.words} one={one} endMs={topology.window.to_ms} advised={edge.troubles[i + 1]?.advice !== one.advice} />
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
