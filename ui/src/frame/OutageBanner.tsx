// SPDX-License-Identifier: Apache-2.0
// One line for the whole page while the server does not answer; panels keep their last answers, in grey.
import WarningIcon from "@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon";
import type { ReactNode } from "react";
import { REFRESH_MS, useOutage } from "../api/outage";
import { useSlow } from "../api/slow";
import type { Status } from "../api/types";
import { capital, timeToSecond } from "../format/units";

const AGAIN = `It is asked again every ${REFRESH_MS / 1000} s, by itself.`;

export function OutageBanner({ status }: { status: Status | undefined }) {
  const outage = useOutage();
  const slow = useSlow();
  if (outage) {
    const last = outage.lastMs ? `The last answer came at ${timeToSecond(outage.lastMs)}; what is grey is of then.` : "No answer has come yet.";
    return <Banner what={capital(outage.message)}>{`${last} ${AGAIN}`}</Banner>;
  }
  if (slow) {
    const last = slow.lastMs ? `What is shown was answered at ${timeToSecond(slow.lastMs)}.` : "No answer has come yet.";
    return <Banner what={`No answer for ${Math.floor(slow.forMs / 1000)} s`}>{`The store is busy, or hangs. ${last}`}</Banner>;
  }
  if (status?.collector.silent) {
    const newest = status.store.newest_ms ? `after the newest flow, of ${timeToSecond(status.store.newest_ms)}, ` : "";
    const meaning = `What happens ${newest}is not known: where charts end or fall to zero, traffic may go on.`;
    return <Banner what={capital(status.collector.problem ?? "the collector does not answer")}>{`${meaning} ${AGAIN}`}</Banner>;
  }
  return null;
}

function Banner({ what, children }: { what: string; children: ReactNode }) {
  return (
    <p className="fg-outage" role="alert">
      <WarningIcon aria-hidden />
      <span>
        <b>{what}.</b> {children}
      </span>
    </p>
  );
}
