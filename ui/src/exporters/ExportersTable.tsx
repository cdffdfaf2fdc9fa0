// SPDX-License-Identifier: Apache-2.0
// One row for each agent and device, with a sentence below the ones that need something.
import WarningIcon from "@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon";
import SortDownIcon from "@patternfly/react-icons/dist/esm/icons/long-arrow-alt-down-icon";
import SortUpIcon from "@patternfly/react-icons/dist/esm/icons/long-arrow-alt-up-icon";
import type { ReactNode } from "react";
import { OpenRow, RowTable } from "../common/RowTable";
import { count } from "../format/units";
import { follow } from "../state/address";
import type { ExportersView, Sort } from "../state/exporters";
import { type Device, domainWords, flowsLink, lossKnown, lossShare, lossWords, samplingSource, samplingWords, seenWords, skewWords } from "./devices";
import { formatName } from "./formats";
import "./exporters.css";

interface Props {
  rows: readonly Device[];
  nowMs: number;
  view: ExportersView;
  cursor: string;
  onSort: (sort: Sort) => void;
  onOpen: (key: string) => void;
}

const COLUMNS: readonly { sort: Sort; title: string; className: string; help: string }[] = [
  { sort: "name", title: "Exporter", className: "fg-from", help: "Name as it calls itself, and the address it sends from" },
  { sort: "protocol", title: "Protocol", className: "fg-phone-less", help: "What it speaks" },
  { sort: "domains", title: "Domain", className: "fg-number fg-mid-cell", help: "Observation domains: line cards, engines or sub-agents of a device" },
  { sort: "rate", title: "Flows/s", className: "fg-number", help: "Flows a second over the last ten seconds" },
  { sort: "lost", title: "Lost", className: "fg-number", help: "Share of its records that its sequence numbers say were sent, and that did not arrive" },
  { sort: "skew", title: "Clock", className: "fg-number fg-mid-cell", help: "How far its clock is off ours" },
  { sort: "sampling", title: "Sampling", className: "fg-number fg-mid-cell", help: "One of how many packets it looks at, and how we know" },
  { sort: "templates", title: "Templates", className: "fg-number fg-wide-cell", help: "Descriptions of records that it has announced" },
  { sort: "seen", title: "Last seen", className: "fg-number fg-phone-less", help: "When anything came from it" },
];

export function ExportersTable({ rows, nowMs, view, cursor, onSort, onOpen }: Props) {
  return (
    <RowTable
      className="fg-rows-headed fg-exporters"
      cursor={cursor}
      head={
        <>
          {COLUMNS.map((column) => (
            <th key={column.sort} scope="col" className={column.className} aria-sort={view.sort === column.sort ? (view.descending ? "descending" : "ascending") : undefined}>
              <button type="button" className="fg-sort" title={column.help} onClick={() => onSort(column.sort)}>
                {column.title} {view.sort === column.sort && (view.descending ? <SortDownIcon aria-hidden /> : <SortUpIcon aria-hidden />)}
              </button>
            </th>
          ))}
          <th scope="col" className="fg-flows-cell"><span className="fg-hidden">Its flows</span></th>
        </>
      }
    >
      {rows.map((one) => (
        <DeviceRow key={one.key} one={one} nowMs={nowMs} cursor={one.key === cursor} open={one.key === view.open} onOpen={() => onOpen(one.key)} />
      ))}
    </RowTable>
  );
} // prettier-ignore

interface RowProps {
  one: Device;
  nowMs: number;
  cursor: boolean;
  open: boolean;
  onOpen: () => void;
}

function DeviceRow({ one, nowMs, cursor, open, onOpen }: RowProps) {
  const title = one.name || one.addr;
  return (
    <OpenRow title={title} cursor={cursor} open={open} onOpen={onOpen} advice={one.advice.length > 0 && <Advice one={one} />}>
        <th scope="row" className="fg-from">
          <span className="fg-end">
            <span className="fg-end-name" title={title}>{title}</span>
            {one.name && <span className="fg-context">{one.addr}</span>}
          </span>
        </th>
        <td className="fg-phone-less">{one.formats.map(formatName).join(", ") || "–"}</td>
        <td className="fg-number fg-mid-cell">{domainWords(one)}</td>
        <td className="fg-number">{rateWords(one.flowsPerS)}</td>
        <td className={`fg-number ${lossShare(one) > 0 ? "fg-bad" : ""}`} title={lossTitle(one)}>{lossWords(one)}</td>
        <td className="fg-number fg-mid-cell">{skewWords(one.skewMs)}</td>
        <Sampling one={one} />
        <td className="fg-number fg-wide-cell">{one.templates === null ? "–" : count(one.templates)}</td>
        <td className="fg-number fg-phone-less">{seenWords(one, nowMs)}</td>
        <td className="fg-flows-cell">
          <a href={flowsLink(one)} onClick={follow} aria-label={`Flows of ${title}`}>Flows</a>
        </td>
    </OpenRow>
  );
} // prettier-ignore

function Sampling({ one }: { one: Device }): ReactNode {
  const [words, source] = [samplingWords(one), samplingSource(one)];
  return (
    <td className="fg-number fg-mid-cell" title={source}>
      {words} <span className="fg-context fg-wide-cell">{words === "unknown" ? "" : source}</span>
    </td>
  );
}

/** Advice of the first domain, and of how many more there is some. */
function Advice({ one }: { one: Device }) {
  const more = one.advice.length - 1;
  return (
    <>
      <WarningIcon aria-hidden /> {one.advice[0]}
      {more > 0 && <span className="fg-context"> and {count(more)} more</span>}
    </>
  );
}

function lossTitle(one: Device): string {
  if (!lossKnown(one)) return "Its protocol has no sequence numbers, or nothing was read yet";
  if (one.lostEstimated && !one.lost) return `${count(one.lostDatagrams)} datagrams, which held about ${count(one.lostEstimated)} records: NetFlow v9 numbers datagrams only`;
  return `${count(one.lost)} of ${count(one.lost + one.flows)} records`;
}

/** Few flows a second keep a digit: an exporter that sends one a minute is not silent. */
const rateWords = (rate: number): string => (rate >= 0.05 && rate < 10 ? rate.toFixed(1) : count(rate));
