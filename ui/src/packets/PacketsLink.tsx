// SPDX-License-Identifier: Apache-2.0
// A button that leads to the packets of something.
import CaptureIcon from "@patternfly/react-icons/dist/esm/icons/download-icon";
import { follow } from "../state/address";

export function PacketsLink({ href }: { href: string }) {
  return (
    <a className="pf-v6-c-button pf-m-secondary pf-m-small fg-packets-link" href={href} onClick={follow}>
      <CaptureIcon aria-hidden /> Packets
    </a>
  );
}
