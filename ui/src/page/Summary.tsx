// SPDX-License-Identifier: Apache-2.0
// The page's answer as a sentence, before any chart.
import { Button, Skeleton } from "@patternfly/react-core";
import type { ReactNode } from "react";
import type { Topology } from "../api/types";
import { type Newest, summary } from "../format/summary";
import { capital } from "../format/units";

interface Props {
  topology: Topology | undefined;
  /** Whether the filter cannot be read. */
  unread: boolean;
  /** Whether it is of a time before the server stopped answering. */
  old: boolean;
  seconds: number;
  sampling: string;
  /** When the newest flow of all ended, where the answer is of up to now. */
  newest: Newest | undefined;
  /** Shows the conversations between namespaces. */
  onBetween: () => void;
  /** What else is to be read first. */
  children: ReactNode;
}

export function Summary({ topology, unread, old, seconds, sampling, newest, onBetween, children }: Props) {
  if (!topology && unread) return <p role="status" className="fg-summary">Nothing is asked until the filter can be read.</p>;
  if (!topology) return <Skeleton className="fg-summary" width="360px" screenreaderText="Loading the summary" />;
  return (
    <div className={`fg-summary ${old ? "fg-panel-old" : ""}`}>
      <p role="status">
        {summary(topology, seconds, newest)}
        {topology.crossing && " "}
        {topology.crossing && (
          <Button variant="link" isInline onClick={onBetween}>
            {topology.crossing}
          </Button>
        )}
        {sampling && <span className="fg-context"> {capital(sampling)}.</span>}
      </p>
      {children}
    </div>
  );
} // prettier-ignore
