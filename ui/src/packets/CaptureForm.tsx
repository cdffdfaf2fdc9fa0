// SPDX-License-Identifier: Apache-2.0
// When, how long, where and how much; and the button.
import { Button, ClipboardCopy } from "@patternfly/react-core";
import type { ReactNode } from "react";
import type { HeadsNode } from "../api/types";
import { timeOfDay } from "../format/units";
import { captureCommand, type ChangePackets, LENGTHS, type PacketsView, SIZES, type When } from "../state/packets";

interface Props {
  view: PacketsView;
  onView: ChangePackets;
  nodes: readonly HeadsNode[];
  running: boolean;
  onStart: () => void;
  onStop: () => void;
}

export function CaptureForm({ view, onView, nodes, running, onStart, onStop }: Props) {
  const whens: [When, string][] = [["live", "What comes, for"], ["past", "The past"]]; // prettier-ignore
  if (view.from) whens.push(["range", `${timeOfDay(view.from)} to ${timeOfDay(view.to)}`]);
  return (
    <form
      className="fg-capture"
      onSubmit={(event) => {
        event.preventDefault();
        if (running) onStop();
        else onStart();
      }}
    >
      <fieldset disabled={running}>
        <Choice label="When" value={view.when} onChange={(when) => onView({ when: when as When })} options={whens} />
        {view.when !== "range" && <Choice label="How long" value={view.length} onChange={(length) => onView({ length })} options={LENGTHS.map((one) => [one.length, one.label])} />}
        <Choice label="Nodes" value={view.node} onChange={(node) => onView({ node })} options={[["", "all"], ...named(nodes, view.node).map((node): [string, string] => [node, node])]} />
        <Choice label="At most" value={String(view.maxBytes)} onChange={(size) => onView({ maxBytes: Number(size) })} options={SIZES.map((one) => [String(one.maxBytes), one.label])} />
      </fieldset>
      <Button type="submit" variant={running ? "secondary" : "primary"}>
        {running ? "Stop and save" : view.when === "live" ? "Capture" : "Get the packets"}
      </Button>
      <ClipboardCopy className="fg-capture-command" isReadOnly hoverTip="Copy" clickTip="Copied" variant="inline-compact" isCode>
        {captureCommand(view)}
      </ClipboardCopy>
    </form>
  );
} // prettier-ignore

/** Nodes to choose from, with the one that the address names. */
const named = (nodes: readonly HeadsNode[], chosen: string): string[] => [...new Set([...nodes.map((one) => one.node), ...(chosen ? [chosen] : [])])];

interface ChoiceProps {
  label: string;
  value: string;
  options: readonly [string, string][];
  onChange: (value: string) => void;
}

function Choice({ label, value, options, onChange }: ChoiceProps): ReactNode {
  return (
    <label>
      {label}
      <select value={value} onChange={(event) => onChange(event.target.value)}>
        {options.map(([option, words]) => (
          <option key={option} value={option}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}
