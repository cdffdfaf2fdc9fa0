// SPDX-License-Identifier: Apache-2.0
// How far a capture is, what was saved, and its first packets.
import { Alert, AlertActionLink } from "@patternfly/react-core";
import { bytes, count, counted, timeOfDay } from "../format/units";
import type { PacketsView } from "../state/packets";
import { type Packet, SHOWN } from "./pcapng";
import type { Captured } from "./useCapture";

interface Props {
  found: Captured;
  view: PacketsView;
  onKeep: () => void;
}

export function CaptureResult({ found, view, onKeep }: Props) {
  return (
    <div className="fg-captured">
      <div role="status">{found.running ? <p>{`Capturing: ${counted(found.packets, "packet")}, ${bytes(found.bytes)}, ${found.seconds.toFixed(0)} s`}</p> : <Ended found={found} view={view} onKeep={onKeep} />}</div>
      {found.missing && (
        <Alert variant="warning" isInline isPlain title={`Without ${found.missing}: see below what each node keeps. Why stands in the file's comment, too.`} />
      )}
      {found.first.length > 0 && <First packets={found.first} total={found.packets} />}
    </div>
  );
} // prettier-ignore

function Ended({ found, view, onKeep }: Props) {
  if (found.error && !found.packets) return <Alert variant="danger" isInline title={`Nothing was captured: ${found.error.message}`} />;
  if (!found.packets) {
    const asked = view.filter ? "No packet passed this filter" : "No packet was seen";
    return <Alert variant="info" isInline title={`${asked}${view.when === "live" ? ` in ${found.seconds.toFixed(0)} s` : " in what nodes keep of that time"}.`} />;
  }
  const whole = found.error ? `; it broke off: ${found.error.message}` : found.bytes > view.maxBytes * 0.99 ? "; it ended at its limit, so a longer one may have more" : "";
  return (
    <Alert
      variant={found.error ? "warning" : "success"}
      isInline
      title={`${counted(found.packets, "packet")} saved as ${found.name} (${bytes(found.bytes)})${whole}.`}
      actionLinks={<AlertActionLink onClick={onKeep}>Save again</AlertActionLink>}
    />
  );
}

function First({ packets, total }: { packets: readonly Packet[]; total: number }) {
  return (
    <>
      {total > SHOWN && <p className="fg-context">{`The first ${count(SHOWN)} of ${counted(total, "packet")}; all are in the file.`}</p>}
      <div className="fg-packet-frame">
        <table className="fg-table fg-packet-table">
          <thead>
            <tr><th scope="col">Time</th><th scope="col">Seen at</th><th scope="col">From → to</th><th scope="col" className="fg-phone-less">Addresses</th><th scope="col">What</th><th scope="col" className="fg-number">Bytes</th></tr>
          </thead>
          <tbody>
            {packets.map((one) => (
              <tr key={one.key}>
                <td>{timeOfDay(one.timeMs)}</td>
                <td>{one.where}</td>
                <td className="fg-names" title={one.names}>{one.names || "–"}</td>
                <td className="fg-phone-less">{one.addresses || "–"}</td>
                <td className={/\bRST\b/.test(one.what) ? "fg-bad" : ""}>{one.what}</td>
                <td className="fg-number">{count(one.bytes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
} // prettier-ignore
