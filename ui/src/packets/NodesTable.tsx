// SPDX-License-Identifier: Apache-2.0
// What each node keeps of the past, and the button that keeps it from being overwritten.
import { Button, Label } from "@patternfly/react-core";
import { useState } from "react";
import { open } from "../api/client";
import type { HeadsNode } from "../api/types";
import { bytes, counted, dateTime } from "../format/units";

const FREEZE = "10m";

export function NodesTable({ nodes, onChanged }: { nodes: readonly HeadsNode[]; onChanged: () => void }) {
  const [problem, setProblem] = useState("");
  const freeze = async (length: string) => {
    try {
      await open("capture/freeze", { for: length }, undefined, "POST");
      setProblem("");
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
    onChanged();
  };
  const frozen = nodes.some((one) => one.frozen);
  const off = nodes.filter((one) => one.kept === false && !one.refused);
  return (
    <>
      <ul className="fg-nodes">
        {nodes.map((one) => (
          <li key={one.node}>
            <strong>{one.node}</strong>
            <span className={one.problem || one.refused ? "fg-bad" : ""}>{nodeWords(one)}</span>
            {one.frozen && <Label color="blue" isCompact>frozen</Label>}
          </li>
        ))}
      </ul>
      {off.length > 0 && (
        <p className="fg-context">
          Where the past is not kept, only what comes can be captured. Keep it with <code>spec.exporter.heads.enable: true</code>.
        </p>
      )}
      {nodes.some((one) => one.kept) && (
        <p className="fg-freeze">
          <Button variant="secondary" size="sm" onClick={() => void freeze(frozen ? "0s" : FREEZE)}>
            {frozen ? "Go on" : "Freeze for 10 minutes"}
          </Button>
          <span className="fg-context">{frozen ? "Nothing is overwritten for the time being." : "Keeps what is there while you look; what comes meanwhile may find no room."}</span>
        </p>
      )}
      {problem && <p className="fg-bad">{problem}</p>}
    </>
  );
} // prettier-ignore

/** `12 345 packets since 26 Nov 2026, 10:02:30.123, in 32 MB`. */
export function nodeWords(one: HeadsNode): string {
  if (one.problem) return one.problem;
  if (one.refused) return `nothing can be captured: ${one.refused}`;
  if (!one.kept) return "does not keep the past";
  const memory = ` in ${bytes(one.size_bytes ?? 0)} of memory`;
  return one.oldest_ms ? `${counted(one.packets ?? 0, "packet")} since ${dateTime(one.oldest_ms)},${memory}` : `no packet yet,${memory}`;
}
