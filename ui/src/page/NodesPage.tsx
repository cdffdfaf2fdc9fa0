// SPDX-License-Identifier: Apache-2.0
// What nodes dropped and had no room for: what a latency may come from that no flow shows. While live it is asked again.
import { ClipboardCopy, EmptyState, EmptyStateBody, Skeleton } from "@patternfly/react-core";
import WaitIcon from "@patternfly/react-icons/dist/esm/icons/hourglass-half-icon";
import { useQueryClient } from "@tanstack/react-query";
import { REFRESH_MS } from "../api/outage";
import { type Answered, useNodes, useNodesHistory, useStatus } from "../api/queries";
import type { Nodes } from "../api/types";
import { useCursor } from "../common/cursor";
import { useKeys } from "../common/keys";
import { Panel } from "../common/Panel";
import { Drawer } from "../drawer/Drawer";
import { counted } from "../format/units";
import { Masthead } from "../frame/Masthead";
import { TimeRange } from "../frame/TimeRange";
import { NodeCounters } from "../nodes/NodeCounters";
import { NodeRows } from "../nodes/NodeRows";
import { byNeed, knownUntil, needsLook, nodesSentence } from "../nodes/signs";
import { moved, rangeWords } from "../state/range";
import { useView, type View } from "../state/view";

export function NodesPage() {
  const [view, onView] = useView("nodes");
  const status = useStatus();
  const client = useQueryClient();
  const answer = useNodes(view);
  const history = useNodesHistory(view).data;
  const endMs = answer.data ? knownUntil(answer.data, Date.now()) : 0;
  const nodes = byNeed(answer.data?.nodes ?? [], endMs);

  const { cursor, open } = useCursor(() => nodes.map((one) => one.node), view.open, (key, replace) => onView({ open: key }, replace));
  const shift = (steps: number) => onView({ ...moved(view, steps, Date.now()), live: false });
  useKeys({
    Escape: () => view.open && onView({ open: "" }),
    "[": () => shift(-1),
    "]": () => view.from !== undefined && shift(1),
  });
  const one = nodes.find(({ node }) => node === view.open);
  return (
    <>
      <a className="fg-skip" href="#fg-main">
        Skip to the nodes
      </a>
      <Masthead page="nodes" status={status.data} />
      <div className={`fg-page ${view.open ? "fg-page-drawer" : ""}`}>
        <main id="fg-main" className="fg-main fg-single" tabIndex={-1}>
          <div className="fg-nodes-head">
            <Sentence answer={answer} view={view} endMs={endMs} />
            <TimeRange view={view} onView={onView} refreshing={answer.isFetching && !view.live} onRefresh={() => void client.invalidateQueries()} />
          </div>
          <Panel title="Nodes" words={nodes.length > 0 ? panelWords(nodes.length, nodes.filter((each) => needsLook(each, endMs)).length, view.live) : ""} answer={answer} className="fg-panel-table">
            {() => (nodes.length === 0 ? <Nobody view={view} /> : <NodeRows nodes={nodes} history={history} endMs={endMs} open={view.open} cursor={cursor} onOpen={open} />)}
          </Panel>
        </main>
        {view.open && answer.data && (
          <Drawer title={view.open} onClose={() => onView({ open: "" })}>
            {one ? <NodeCounters one={one} endMs={endMs} view={view} history={history} /> : <p>Its agent told nothing in this time range. A longer one may have it; if not, look for it among the exporters.</p>}
          </Drawer>
        )}
      </div>
    </>
  );
} // prettier-ignore

const panelWords = (all: number, looks: number, live: boolean): string =>
  [`${counted(all, "node")} with an agent`, looks && `${looks} to look at`, live && `asked again every ${REFRESH_MS / 1000} s`].filter(Boolean).join("; ");

function Sentence({ answer, view, endMs }: { answer: Answered<Nodes>; view: View; endMs: number }) {
  if (!answer.data) return answer.error ? <p /> : <Skeleton width="360px" screenreaderText="Loading the summary" />;
  return <p role="status">{answer.data.nodes.length > 0 && nodesSentence(answer.data.nodes, endMs, rangeWords(view))}</p>;
}

function Nobody({ view }: { view: View }) {
  return (
    <EmptyState titleText={`No agent told of its node ${rangeWords(view)}`} headingLevel="h2" icon={WaitIcon} variant="sm">
      <EmptyStateBody>
        <p>
          Each agent tells every 10 seconds what its node's kernel dropped and had no room for; it needs no setting. Routers and other devices do not tell this, nor do agents that send NetFlow v9.
          A longer range may show agents that are gone.
        </p>
        <ClipboardCopy isReadOnly hoverTip="Copy" clickTip="Copied" variant="inline-compact" isCode>
          sudo flowgauge run
        </ClipboardCopy>
      </EmptyStateBody>
    </EmptyState>
  );
}
