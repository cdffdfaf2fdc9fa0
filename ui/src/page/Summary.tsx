// SPDX-License-Identifier: Apache-2.0
// The page's answer as a sentence, before any chart, and what to look at first.
import { Skeleton } from "@patternfly/react-core";
import WarningIcon from "@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon";
import type { Topology } from "../api/types";
import { edgeKey } from "../state/open";
import { summary, troubled } from "../format/summary";
import { capital } from "../format/units";

interface Props {
  topology: Topology | undefined;
  seconds: number;
  sampling: string;
  onOpen: (open: string) => void;
}

/** More than this many to look at are no longer read. */
const SHOWN = 2;

export function Summary({ topology, seconds, sampling, onOpen }: Props) {
  if (!topology) return <Skeleton className="fg-summary" width="360px" screenreaderText="Loading the summary" />;
  const found = troubled(topology);
  return (
    <div className="fg-summary">
      <p role="status">
        {summary(topology, seconds)}
        {sampling && <span className="fg-context"> {capital(sampling)}.</span>}
      </p>
      {found.slice(0, SHOWN).map((edge) => (
        <button key={edgeKey(edge)} type="button" className="fg-trouble" onClick={() => onOpen(edgeKey(edge))}>
          <WarningIcon aria-hidden /> {capital(edge.troubles[0]?.words ?? "")}
        </button>
      ))}
      {found.length > SHOWN && <span className="fg-context">and {found.length - SHOWN} more</span>}
    </div>
  );
}
