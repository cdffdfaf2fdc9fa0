// SPDX-License-Identifier: Apache-2.0
// The parts of the filter, each of which can be taken away.
import { Label, LabelGroup } from "@patternfly/react-core";
import { useFilterCheck } from "../api/queries";

export function Chips({ filter, onFilter }: { filter: string; onFilter: (filter: string) => void }) {
  const check = useFilterCheck(filter);
  const chips = filter ? (check.data?.chips ?? []) : [];
  if (chips.length === 0) return null;
  return (
    <LabelGroup numLabels={8} aria-label="Parts of the filter" className="fg-chips">
      {chips.map((chip) => (
        <Label key={chip.text} variant="outline" onClose={() => onFilter(chip.without)} closeBtnAriaLabel={`Remove ${chip.text}`}>
          {chip.text}
        </Label>
      ))}
    </LabelGroup>
  );
}
