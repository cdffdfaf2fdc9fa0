// SPDX-License-Identifier: Apache-2.0
// What the URL opens, in the drawer.
import { Skeleton } from "@patternfly/react-core";
import type { Row, Topology } from "../api/types";
import { CompletenessDetail } from "../drawer/CompletenessDetail";
import { Drawer } from "../drawer/Drawer";
import { EdgeDetail } from "../drawer/EdgeDetail";
import { FlowDetail } from "../drawer/FlowDetail";
import { NodeDetail } from "../drawer/NodeDetail";
import { nodeTitle } from "../map/graph";
import { type Opened, parseOpen } from "../state/open";
import type { Change, View } from "../state/view";

interface Props {
  view: View;
  onView: Change;
  topology: Topology | undefined;
  oldestMs: number | undefined;
  seconds: number;
  rowOf: (key: string) => Row | undefined;
}

export function OpenDrawer({ view, onView, topology, oldestMs, seconds, rowOf }: Props) {
  const opened = parseOpen(view.open);
  if (!opened) return null;
  const close = () => onView({ open: "" });
  if (opened.what === "completeness") {
    return (
      <Drawer title="How complete this is" onClose={close}>
        <CompletenessDetail view={view} />
      </Drawer>
    );
  }
  if (opened.what === "flow") {
    return (
      <Drawer title="Flow" onClose={close}>
        <FlowDetail id={opened.key} dataset={view.dataset} known={rowOf(opened.key)} />
      </Drawer>
    );
  }
  return <OnMap opened={opened} topology={topology} oldestMs={oldestMs} seconds={seconds} view={view} onView={onView} close={close} />;
}

interface OnMapProps extends Omit<Props, "rowOf"> {
  opened: Extract<Opened, { what: "edge" | "node" }>;
  close: () => void;
}

function OnMap({ opened, topology, oldestMs, seconds, view, onView, close }: OnMapProps) {
  const title = opened.what === "edge" ? "Conversation" : "Workload";
  const node = (id: string) => topology?.nodes.find((one) => one.id === id);
  if (opened.what === "node") {
    const found = node(opened.id);
    return (
      <Drawer title={found ? nodeTitle(found) : title} onClose={close}>
        {found && topology ? <NodeDetail node={found} topology={topology} seconds={seconds} view={view} onView={onView} /> : <Absent topology={topology} />}
      </Drawer>
    );
  }
  const edge = topology?.edges.find((one) => one.src === opened.src && one.dst === opened.dst && one.dst_port === opened.port && one.proto === opened.proto);
  const [src, dst] = [node(opened.src), node(opened.dst)];
  return (
    <Drawer title={src && dst ? `${nodeTitle(src)} → ${nodeTitle(dst)}` : title} onClose={close}>
      {edge && src && dst && topology ? <EdgeDetail edge={edge} src={src} dst={dst} topology={topology} oldestMs={oldestMs} seconds={seconds} view={view} onView={onView} /> : <Absent topology={topology} />}
    </Drawer>
  );
}

function Absent({ topology }: { topology: Topology | undefined }) {
  if (!topology) return <Skeleton height="240px" screenreaderText="Loading" />;
  return <p>It had no traffic in this time range, or does not pass the filter. A longer range may show it.</p>;
}
