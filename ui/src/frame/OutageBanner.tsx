// SPDX-License-Identifier: Apache-2.0
// One line for the whole page while the server does not answer; panels keep their last answers, in grey.
import WarningIcon from "@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon";
import { REFRESH_MS, useOutage } from "../api/outage";
import { capital, timeToSecond } from "../format/units";

export function OutageBanner() {
  const outage = useOutage();
  if (!outage) return null;
  return (
    <p className="fg-outage" role="alert">
      <WarningIcon aria-hidden />
      <span>
        <b>{capital(outage.message)}.</b> {outage.lastMs ? `The last answer came at ${timeToSecond(outage.lastMs)}; what is grey is of then.` : "No answer has come yet."} It is asked again every {REFRESH_MS / 1000} s, by itself.
      </span>
    </p>
  );
} // prettier-ignore
