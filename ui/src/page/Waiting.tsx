// SPDX-License-Identifier: Apache-2.0
// No flows: what the page is waiting for, and how to get some; or why this question has none.
import { Button, ClipboardCopy, EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter } from "@patternfly/react-core";
import SearchIcon from "@patternfly/react-icons/dist/esm/icons/search-icon";
import WaitIcon from "@patternfly/react-icons/dist/esm/icons/hourglass-half-icon";
import type { Status } from "../api/types";
import { count, counted, dateTime } from "../format/units";
import type { Change, View } from "../state/view";
import "./waiting.css";

/** How a collector that devices can reach is started. */
export const RECEIVE = "flowgauge run --no-agent --listen 0.0.0.0:2055";

const WAYS: readonly { title: string; command: string; words: string }[] = [
  { title: "This machine's traffic", command: "sudo flowgauge run", words: "An agent builds flows in the kernel; the first is here a few seconds later." },
  { title: "The demo", command: "sudo make demo", words: "Django with PostgreSQL on three nodes, with a neighbour nobody expects." },
  { title: "A router or switch", command: RECEIVE, words: "Send NetFlow, IPFIX or sFlow to UDP port 2055 of this machine." },
];

/** The store has no flow at all. */
export function Waiting({ status }: { status: Status | undefined }) {
  return (
    <EmptyState titleText="Waiting for the first flow" headingLevel="h2" icon={WaitIcon} variant="full" className="fg-waiting-page">
      <EmptyStateBody>
        <p role="status">{waitingFor(status)}</p>
        <div className="fg-ways">
          {WAYS.map((way) => (
            <div key={way.title} className="fg-way">
              <h3>{way.title}</h3>
              <p>{way.words}</p>
              <ClipboardCopy isReadOnly hoverTip="Copy" clickTip="Copied" variant="inline-compact" isCode>
                {way.command}
              </ClipboardCopy>
            </div>
          ))}
        </div>
      </EmptyStateBody>
    </EmptyState>
  );
}

/** What is missing, in the order in which flows travel. */
export function waitingFor(status: Status | undefined): string {
  if (!status) return "Asking how the parts stand …";
  if (!status.store.answers) return `The store does not answer: ${status.store.problem}. This page tries again by itself.`;
  if (!status.collector.answers) return `No flows can arrive: ${status.collector.problem ?? "the collector does not answer"}.`;
  const exporters = status.collector.exporters ?? [];
  if (exporters.length === 0) return "The collector listens, and nothing has sent to it yet. This page shows the first flow as soon as it arrives.";
  const flows = exporters.reduce((sum, one) => sum + one.flows, 0);
  return `${counted(exporters.length, "exporter")} sent ${count(flows)} flows to the collector; the first ones are on their way into the store.`;
}

/** The store has flows, but none for this question. */
export function NoMatch({ view, status, onView }: { view: View; status: Status | undefined; onView: Change }) {
  const newest = status?.store.newest_ms;
  return (
    <EmptyState titleText="No flows here" headingLevel="h2" icon={SearchIcon} variant="sm">
      <EmptyStateBody>
        {view.filter ? "No flow in this time range passes the filter." : "Nothing was seen in this time range."}
        {newest ? ` The newest flow of all ended ${dateTime(newest)}.` : ""}
      </EmptyStateBody>
      <EmptyStateFooter>
        <EmptyStateActions>
          {view.filter && (
            <Button variant="secondary" onClick={() => onView({ filter: "" })}>
              Clear the filter
            </Button>
          )}
          <Button variant="secondary" onClick={() => onView({ since: "7d", from: undefined, to: undefined })}>
            Last 7 days
          </Button>
        </EmptyStateActions>
      </EmptyStateFooter>
    </EmptyState>
  );
}
