// SPDX-License-Identifier: Apache-2.0
// The tables below the map: flows or conversations, and the keys that move in them.
import { Tab, Tabs, TabTitleText } from "@patternfly/react-core";
import { useMemo, useState } from "react";
import { type Answered, FLOW_LIMIT } from "../api/queries";
import type { Flows, Topology } from "../api/types";
import { useCursor } from "../common/cursor";
import { Panel } from "../common/Panel";
import { PanelMenu } from "../common/PanelMenu";
import { ConversationsTable } from "../flows/ConversationsTable";
import { FlowsTable } from "../flows/FlowsTable";
import { type KeyedRow, useTail } from "../flows/rows";
import { between } from "../format/between";
import { count, counted } from "../format/units";
import { edgeKey } from "../state/open";
import type { Change, Tab as TabName, View } from "../state/view";
import { shownOf } from "../format/summary";

interface Props {
  view: View;
  onView: Change;
  question: string;
  flows: Answered<Flows>;
  topology: Answered<Topology>;
  rows: KeyedRow[];
  seconds: number;
}

export function FlowsPanel({ view, onView, question, flows, topology, rows, seconds }: Props) {
  const [scrolled, setScrolled] = useState(false);
  const reading = view.open.startsWith("flow~");
  const tail = useTail(rows, (scrolled || reading) && !flows.stale, question);
  const onFlows = view.tab === "flows";
  const shown = useMemo(() => topology.data && (view.tab === "between" ? { ...topology.data, edges: between(topology.data).edges } : topology.data), [topology.data, view.tab]);
  const keys = () => (onFlows ? tail.rows.map((one) => one.key) : (shown?.edges ?? []).map(edgeKey));
  const { cursor, open } = useCursor(keys, view.open, (key, replace) => onView({ open: key }, replace));
  const answer: Answered<unknown> = onFlows ? flows : topology;
  const words = onFlows ? shownOf(tail.rows.length, Math.max(flows.data?.matched ?? 0, tail.rows.length)) : tableWords(view.tab, topology.data);
  return (
    <Panel
      title={TITLES[view.tab]}
      words={answer.data === undefined ? "" : words}
      answer={answer}
      className="fg-panel-table"
      actions={
        <>
          <TabBar tab={view.tab} onTab={(tab) => onView({ tab })} />
          <PanelMenu view={view} path={onFlows ? "flows" : "topology"} params={onFlows ? { limit: FLOW_LIMIT } : {}} options={onFlows ? "" : "--by src_owner,dst_owner"}
            rows={() => (onFlows ? tail.rows.map((one) => one.row) : (shown?.edges ?? []).map((edge) => ({ ...edge })))} />
        </>
      }
    >
      {() =>
        onFlows ? (
          <FlowsTable rows={tail.rows} waiting={tail.waiting} cursor={cursor} open={view.open} onOpen={open} onScrolled={setScrolled} onNewest={() => (setScrolled(false), reading && onView({ open: "" }))} />
        ) : (
          shown && <ConversationsTable topology={shown} seconds={seconds} cursor={cursor} open={view.open} onOpen={open} />
        )
      }
    </Panel>
  );
} // prettier-ignore

const TITLES: Record<TabName, string> = { flows: "Flows", conversations: "Conversations", between: "Between namespaces" };

function tableWords(tab: TabName, topology: Topology | undefined): string {
  if (!topology || tab !== "between") return counted(topology?.edge_count ?? 0, "conversation");
  const { edges, infra } = between(topology);
  return `${counted(edges.length, "conversation")}${infra ? `; ${count(infra)} with infrastructure left out` : ""}`;
}

function TabBar({ tab, onTab }: { tab: TabName; onTab: (tab: TabName) => void }) {
  return (
    <Tabs activeKey={tab} onSelect={(_, key) => onTab(key as TabName)} aria-label="What the table shows" isSubtab className="fg-tabs">
      <Tab eventKey="flows" title={<TabTitleText>Flows</TabTitleText>} />
      <Tab eventKey="conversations" title={<TabTitleText>Conversations</TabTitleText>} />
      <Tab eventKey="between" title={<TabTitleText>Between namespaces</TabTitleText>} />
    </Tabs>
  );
}
