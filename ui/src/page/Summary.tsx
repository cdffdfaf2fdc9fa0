// SPDX-License-Identifier: Apache-2.0
// The page's answer as a sentence, before any chart.
import { Skeleton } from "@patternfly/react-core";
import type { ReactNode } from "react";
import type { Topology } from "../api/types";
import { summary } from "../format/summary";
import { capital } from "../format/units";

interface Props {
  topology: Topology | undefined;
  seconds: number;
  sampling: string;
  /** What else is to be read first. */
  children: ReactNode;
}

export function Summary({ topology, seconds, sampling, children }: Props) {
  if (!topology) return <Skeleton className="fg-summary" width="360px" screenreaderText="Loading the summary" />;
  return (
    <div className="fg-summary">
      <p role="status">
        {summary(topology, seconds)}
        {sampling && <span className="fg-context"> {capital(sampling)}.</span>}
      </p>
      {children}
    </div>
  );
}
