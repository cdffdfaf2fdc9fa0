// SPDX-License-Identifier: Apache-2.0
// The flows, newest first. Reads like a sentence: when, from whom to whom, on which port, how much.
import { Button } from "@patternfly/react-core";
import LongArrowIcon from "@patternfly/react-icons/dist/esm/icons/long-arrow-alt-right-icon";
import { memo, useRef } from "react";
import type { Row } from "../api/types";
import { Approx } from "../common/Approx";
import { OpenRow, RowTable } from "../common/RowTable";
import { Value } from "../common/ValueMenu";
import {
  type End, endContext, endMs, endName, isScaled, namespaceOf, packetError, passage, portContext, remarks, scaledBytes, scaledPackets,
  sentence, servedPort, text,
} from "../format/flow"; // prettier-ignore
import { protocol } from "../format/ports";
import { bytes, count, dateTime, timeOfDay, zone } from "../format/units";
import type { KeyedRow } from "./rows";

interface Props {
  rows: KeyedRow[];
  waiting: number;
  /** Key of the row on which `j` and `k` stand. */
  cursor: string;
  /** Key of the row that the drawer shows. */
  open: string;
  onOpen: (key: string) => void;
  /** Whether the newest row is out of sight. */
  onScrolled: (scrolled: boolean) => void;
  onNewest: () => void;
}

export function FlowsTable({ rows, waiting, cursor, open, onOpen, onScrolled, onNewest }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const newest = () => {
    frame.current?.scrollTo({ top: 0 });
    onNewest();
  };
  return (
    <RowTable
      cursor={cursor}
      frame={frame}
      onScrolled={onScrolled}
      above={
        waiting > 0 && (
          <Button variant="secondary" size="sm" className="fg-waiting" onClick={newest}>
            {waiting === 1 ? "1 new flow waits" : `${count(waiting)} new flows wait`} – show
          </Button>
        )
      }
      head={
        <>
          <th scope="col" className="fg-col-time">Time <span className="fg-context">{zone(Date.now())}</span></th>
          <th scope="col" className="fg-from">From</th>
          <th scope="col" className="fg-col-arrow" aria-label="to" />
          <th scope="col">To</th>
          <th scope="col" className="fg-port-cell">Port</th>
          <th scope="col" className="fg-number">Bytes</th>
          <th scope="col" className="fg-number fg-phone-less">Packets</th>
          <th scope="col" className="fg-wide-cell">Seen</th>
          <th scope="col" className="fg-wide-cell">Remarks</th>
        </>
      }
    >
      {rows.map(({ key, row }) => (
        <FlowRow key={key} id={key} row={row} cursor={key === cursor} open={key === open} onOpen={onOpen} />
      ))}
    </RowTable>
  );
}

interface RowProps {
  id: string;
  row: Row;
  cursor: boolean;
  open: boolean;
  onOpen: (key: string) => void;
}

const FlowRow = memo(function FlowRow({ id, row, cursor, open, onOpen }: RowProps) {
  const { port, end } = servedPort(row);
  const scaled = isScaled(row);
  return (
    <OpenRow title={sentence(row)} cursor={cursor} open={open} onOpen={() => onOpen(id)}>
      <td className="fg-col-time" title={dateTime(endMs(row))}>{timeOfDay(endMs(row))}</td>
      <td className="fg-from"><EndCell row={row} end="src" /></td>
      <td className="fg-col-arrow"><LongArrowIcon aria-label="to" /></td>
      <td><EndCell row={row} end="dst" /></td>
      <td className="fg-port-cell">
        {port === null ? (
          <Value column="proto" value={text(row, "proto")}>{protocol(row.proto as number)}</Value>
        ) : (
          <>
            {end === "src" && <span className="fg-context fg-phone-less">from </span>}
            <Value column={`${end}_port`} value={port} />
          </>
        )}
        <span className="fg-context fg-port-name">{portContext(row)}</span>
      </td>
      <td className="fg-number"><Approx text={bytes(scaledBytes(row))} approx={scaled} error={packetError(row)} /></td>
      <td className="fg-number fg-phone-less"><Approx text={count(scaledPackets(row))} approx={scaled} error={packetError(row)} /></td>
      <td className="fg-wide-cell">
        <Reporter row={row} />
        <span className="fg-context">{passage(row)}</span>
      </td>
      <td className="fg-wide-cell fg-remarks">
        {remarks(row).map((remark) => (
          <span key={remark.text} className={remark.bad ? "fg-bad" : "fg-context"} title={remark.text}>{remark.text}</span>
        ))}
      </td>
    </OpenRow>
  );
}); // prettier-ignore

/** Who saw it: a device without a name by its address. */
function Reporter({ row }: { row: Row }) {
  const column = text(row, "node_reporter") ? "node_reporter" : "exporter_addr";
  return <Value column={column} value={text(row, column)} />;
}

function EndCell({ row, end }: { row: Row; end: End }) {
  const { label, column, value } = endName(row, end);
  const namespace = namespaceOf(row, end);
  const address = text(row, `${end}_addr`);
  return (
    <span className="fg-end">
      <Value column={column} value={value} className="fg-end-name" title={`${label}${address && address !== label ? ` – ${address}` : ""}`}>
        {label}
      </Value>
      {namespace ? (
        <Value column={`${end}_namespace`} value={namespace} className="fg-context" />
      ) : (
        <span className="fg-context">{endContext(row, end)}</span>
      )}
    </span>
  );
}
