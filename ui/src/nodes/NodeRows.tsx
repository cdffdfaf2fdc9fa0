// SPDX-License-Identifier: Apache-2.0
// One row for each node, with sentences below the ones that dropped something or had no room.
import AngleRightIcon from "@patternfly/react-icons/dist/esm/icons/angle-right-icon";
import { Fragment, type MouseEvent, useEffect, useRef } from "react";
import type { NodeCongestion } from "../api/types";
import { count, percent, timeToSecond, zone } from "../format/units";
import { isSilent, needsLook, QUEUES, trackingShare, trackingWords } from "./signs";
import { SignLines } from "./SignLines";
import "../flows/table.css";
import "./nodes.css";

/** As many sentences below a row; all are in the detail. */
const BELOW = 3;

interface Props {
  nodes: readonly NodeCongestion[];
  endMs: number;
  open: string;
  cursor: string;
  onOpen: (node: string) => void;
}

export function NodeRows({ nodes, endMs, open, cursor, onOpen }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  useEffect(() => {
    frame.current?.querySelector('[data-cursor="true"]')?.scrollIntoView({ block: "nearest" });
  }, [cursor]);
  return (
    <div className="fg-table-place">
      <div className="fg-table-frame" ref={frame} tabIndex={-1}>
        <table className="fg-table fg-rows-headed fg-node-rows">
          <thead>
            <tr>
              <th scope="col" className="fg-from">Node</th>
              {QUEUES.map((queue) => <th key={queue.key} scope="col" className={`fg-number ${queue.className}`} title={queue.help}>{queue.title}</th>)}
              <th scope="col" className="fg-number" title="The most entries that connection tracking had, of how many it may have">Tracked</th>
              <th scope="col" className="fg-number fg-phone-less" title="When its agent told of it last">Heard <span className="fg-context">{zone(endMs)}</span></th>
              <th scope="col" className="fg-col-more"><span className="fg-hidden">Detail</span></th>
            </tr>
          </thead>
          <tbody>
            {nodes.map((one) => <NodeRow key={one.node} one={one} endMs={endMs} cursor={one.node === cursor} open={one.node === open} onOpen={() => onOpen(one.node)} />)}
          </tbody>
        </table>
      </div>
    </div>
  );
} // prettier-ignore

interface RowProps {
  one: NodeCongestion;
  endMs: number;
  cursor: boolean;
  open: boolean;
  onOpen: () => void;
}

function NodeRow({ one, endMs, cursor, open, onOpen }: RowProps) {
  const click = (event: MouseEvent) => {
    if (!(event.target as Element).closest("button, a") && !getSelection()?.toString()) onOpen();
  };
  const look = needsLook(one, endMs);
  return (
    <Fragment>
      <tr className={`${cursor ? "fg-cursor" : ""} ${open ? "fg-row-open" : ""} ${look ? "fg-advised" : ""}`} data-cursor={cursor} onClick={click}>
        <th scope="row" className="fg-from"><span className="fg-end-name" title={one.node}>{one.node}</span></th>
        {QUEUES.map((queue) => <Figure key={queue.key} value={queue.of(one)} className={queue.className} />)}
        <Tracked one={one} />
        <td className={`fg-number fg-phone-less ${isSilent(one, endMs) ? "fg-bad" : ""}`}>{timeToSecond(one.told_ms)}</td>
        <td className="fg-col-more">
          <button type="button" className="fg-more" aria-label={`Detail: ${one.node}`} onClick={onOpen}><AngleRightIcon aria-hidden /></button>
        </td>
      </tr>
      {look && (
        <tr className={`fg-advice ${open ? "fg-row-open" : ""}`} onClick={click}>
          <td colSpan={QUEUES.length + 4}><SignLines one={one} endMs={endMs} most={BELOW} /></td>
        </tr>
      )}
    </Fragment>
  );
} // prettier-ignore

/** What is 0 stands back. */
const Figure = ({ value, className }: { value: number; className: string }) => (
  <td className={`fg-number ${className} ${value ? "fg-bad fg-figure-bad" : "fg-figure-none"}`}>{count(value)}</td>
);

function Tracked({ one }: { one: NodeCongestion }) {
  const share = trackingShare(one);
  const full = one.signs.some((sign) => sign.counter === "conntrack_entries");
  return (
    <td className={`fg-number fg-rate ${full ? "fg-bad fg-figure-bad" : ""}`} title={trackingWords(one)}>
      {share === null ? <span className="fg-context">not used</span> : percent(share)}
      {share !== null && <i className="fg-share" style={{ width: `${Math.max(1, share * 100)}%` }} aria-hidden />}
    </td>
  );
}
