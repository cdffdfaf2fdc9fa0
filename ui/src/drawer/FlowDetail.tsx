// SPDX-License-Identifier: Apache-2.0
// One flow: as a sentence, then both ends side by side, then everything else by meaning.
import { Button, Skeleton } from "@patternfly/react-core";
import { useState } from "react";
import { useOneFlow } from "../api/queries";
import type { Row, Value as CellValue } from "../api/types";
import { errorWords } from "../common/Approx";
import { ErrorNote } from "../common/ErrorNote";
import { Value } from "../common/ValueMenu";
import { canFilter, END_PARTS, helpOf, remaining, SECTIONS, shown, titleOf } from "../format/columns";
import { flowOfKey, isScaled, nodesOf, packetError, remarks, sentence } from "../format/flow";
import { NodeNotes } from "../nodes/NodeNotes";
import { PacketsLink } from "../packets/PacketsLink";
import { aroundFlow, packetsOfFlow } from "../state/packets";
import { DEFAULT_VIEW } from "../state/view";
import { Section } from "./Drawer";

export function FlowDetail({ id, dataset, known }: { id: string; dataset: string; known: Row | undefined }) {
  const question = flowOfKey(id);
  const asked = useOneFlow(question && { ...question, dataset });
  // What the store has is whole; a row of the live stream may hold fewer columns.
  const row = asked.data?.rows[0] ?? known;
  if (!row && asked.error) return <ErrorNote error={asked.error} what="The flow cannot be read" onRetry={() => void asked.refetch()} />;
  if (!row && asked.data) return <p>This flow is no longer stored: it is older than the retention, or was never written.</p>;
  if (!row) return <Skeleton height="240px" screenreaderText="Loading the flow" />;
  return (
    <>
      <p className="fg-sentence">{sentence(row)}</p>
      {remarks(row).map((remark) => (
        <p key={remark.text} className={remark.bad ? "fg-bad" : "fg-context"}>{remark.text}</p>
      ))}
      {isScaled(row) && <p className="fg-context">{errorWords(packetError(row))}</p>}
      <NodeNotes names={nodesOf([row])} view={{ ...DEFAULT_VIEW, ...aroundFlow(row), live: false, dataset }} />
      {!dataset && <PacketsLink href={packetsOfFlow(row)} />}
      <Ends row={row} />
      {SECTIONS.map((section) => (
        <Facts key={section.title} title={section.title} row={row} columns={section.columns} />
      ))}
      <Facts title="Further columns" row={row} columns={remaining(row)} />
      <CopyJson row={row} />
    </>
  );
} // prettier-ignore

function Ends({ row }: { row: Row }) {
  const parts = END_PARTS.filter(([part]) => has(row, `src_${part}`) || has(row, `dst_${part}`));
  return (
    <Section title="From whom to whom">
      <table className="fg-ends">
        <thead>
          <tr><td /><th scope="col">Source</th><th scope="col">Destination</th></tr>
        </thead>
        <tbody>
          {parts.map(([part, title]) => (
            <tr key={part}>
              <th scope="row">{title}</th>
              <td><Fact row={row} column={`src_${part}`} /></td>
              <td><Fact row={row} column={`dst_${part}`} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
} // prettier-ignore

function Facts({ title, row, columns }: { title: string; row: Row; columns: readonly string[] }) {
  const there = columns.filter((column) => has(row, column));
  if (there.length === 0) return null;
  return (
    <Section title={title}>
      <dl className="fg-facts">
        {there.map((column) => (
          <div key={column}>
            <dt title={helpOf(column)}>{titleOf(column)}</dt>
            <dd><Fact row={row} column={column} /></dd>
          </div>
        ))}
      </dl>
    </Section>
  );
} // prettier-ignore

const has = (row: Row, column: string): boolean => row[column] !== undefined && row[column] !== null && row[column] !== "";

function Fact({ row, column }: { row: Row; column: string }) {
  const value = row[column];
  if (!has(row, column)) return <span className="fg-context">–</span>;
  if (typeof value === "object" && !Array.isArray(value)) return <>{JSON.stringify(value)}</>;
  const words = shown(column, value as CellValue);
  return canFilter(column, value as CellValue) ? <Value column={column} value={value as string | number}>{words}</Value> : <>{words}</>;
}

function CopyJson({ row }: { row: Row }) {
  const [copied, setCopied] = useState(false);
  const copy = () => void navigator.clipboard?.writeText(JSON.stringify(row, null, 2)).then(() => setCopied(true));
  return (
    <Button variant="link" isInline onClick={copy}>
      {copied ? "Copied" : "Copy as JSON"}
    </Button>
  );
}
