// SPDX-License-Identifier: Apache-2.0
// One row for each node, with sentences below the ones that dropped something or had no room.
import type { NodeCongestion, NodesHistory } from "../api/types";
import type { ReactNode } from "react";
import { OpenRow, RowTable } from "../common/RowTable";
import { count, percent, timeToSecond, zone } from "../format/units";
import { Bars } from "./Bars";
import { largest, NONE, problems, sinceWords, sum, type Values } from "./history";
import { isSilent, QUEUES, trackingShare, trackingWords } from "./signs";
import { SignLines } from "./SignLines";
import "./nodes.css";

/** As many sentences below a row; all are in the detail. */
const BELOW = 3;

interface Props {
  nodes: readonly NodeCongestion[];
  /** Of all nodes; undefined: there is none yet. */
  history: NodesHistory | undefined;
  endMs: number;
  open: string;
  cursor: string;
  onOpen: (node: string) => void;
}

export function NodeRows({ nodes, history, endMs, open, cursor, onOpen }: Props) {
  const past = new Map(history?.nodes.map((one) => [one.node, problems(one)]));
  const most = Math.max(0, ...[...past.values()].map(largest));
  return (
    <RowTable
      className="fg-rows-headed fg-node-rows"
      cursor={cursor}
      head={
        <>
          <th scope="col" className="fg-from">Node</th>
          <th scope="col" className="fg-when" title="When it dropped something or had no room, all nodes on one scale">When</th>
          {QUEUES.map((queue) => <th key={queue.key} scope="col" className={`fg-number ${queue.className}`} title={queue.help}>{queue.title}</th>)}
          <th scope="col" className="fg-number" title="The most entries that connection tracking had, of how many it may have">Tracked</th>
          <th scope="col" className="fg-number fg-phone-less" title="When its agent told of it last">Heard <span className="fg-context">{zone(endMs)}</span></th>
        </>
      }
    >
      {nodes.map((one) => <NodeRow key={one.node} one={one} when={<When values={past.get(one.node)} most={most} history={history} />} endMs={endMs} cursor={one.node === cursor} open={one.node === open} onOpen={() => onOpen(one.node)} />)}
    </RowTable>
  );
} // prettier-ignore

interface RowProps {
  one: NodeCongestion;
  when: ReactNode;
  endMs: number;
  cursor: boolean;
  open: boolean;
  onOpen: () => void;
}

function NodeRow({ one, when, endMs, cursor, open, onOpen }: RowProps) {
  const said = one.signs.length > 0 || isSilent(one, endMs);
  return (
    <OpenRow title={one.node} cursor={cursor} open={open} onOpen={onOpen} advice={said && <SignLines one={one} endMs={endMs} most={BELOW} />}>
        <th scope="row" className="fg-from"><span className="fg-end-name" title={one.node}>{one.node}</span></th>
        {when}
        {QUEUES.map((queue) => <Figure key={queue.key} value={queue.of(one)} goesOn={queue.goesOn(one)} className={queue.className} />)}
        <Tracked one={one} />
        <td className={`fg-number fg-phone-less ${isSilent(one, endMs) ? "fg-bad" : ""}`}>{timeToSecond(one.told_ms)}</td>
    </OpenRow>
  );
} // prettier-ignore

/** All problems of a node over time; the sick one stands out, and since when. */
function When({ values, most, history }: { values: Values | undefined; most: number; history: NodesHistory | undefined }) {
  const words = !history ? "" : !values ? "no history" : sum(values) === 0 ? NONE : sinceWords(values, history.times_ms, history.step_ms);
  return (
    <td className="fg-when" title={words}>
      {values && sum(values) > 0 ? <><Bars values={values} most={most} badFrom={1} /><span>{words}</span></> : <span className="fg-figure-none">{words}</span>}
    </td>
  );
} // prettier-ignore

/** What is 0 stands back; red is what goes on. */
const Figure = ({ value, goesOn, className }: { value: number; goesOn: boolean; className: string }) => (
  <td className={`fg-number ${className} ${goesOn ? "fg-bad fg-figure-bad" : value ? "fg-figure-over" : "fg-figure-none"}`}>{count(value)}</td>
);

function Tracked({ one }: { one: NodeCongestion }) {
  const share = trackingShare(one);
  const full = one.signs.some((sign) => sign.counter === "conntrack_entries" && !sign.over);
  return (
    <td className={`fg-number fg-rate ${full ? "fg-bad fg-figure-bad" : ""}`} title={trackingWords(one)}>
      {share === null ? <span className="fg-context">not used</span> : percent(share)}
      {share !== null && <i className="fg-share" style={{ width: `${Math.max(1, share * 100)}%` }} aria-hidden />}
    </td>
  );
}
