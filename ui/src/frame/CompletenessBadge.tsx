// SPDX-License-Identifier: Apache-2.0
// How complete the answer is, always in sight; grey when nobody knows.
import { Label, type LabelProps } from "@patternfly/react-core";
import CheckIcon from "@patternfly/react-icons/dist/esm/icons/check-circle-icon";
import WarningIcon from "@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon";
import QuestionIcon from "@patternfly/react-icons/dist/esm/icons/question-circle-icon";
import type { Completeness } from "../api/types";
import { percent } from "../format/units";

/** Below this share the badge asks for attention: one flow in a thousand is missing. */
export const ATTENTION_PERCENT = 99.9;

export function CompletenessBadge({ completeness, onClick }: { completeness: Completeness | undefined; onClick: () => void }) {
  const share = completeness?.percent ?? null;
  const look: Pick<LabelProps, "icon" | "status"> =
    share === null ? { icon: <QuestionIcon /> } : share < ATTENTION_PERCENT ? { icon: <WarningIcon />, status: "warning" } : { icon: <CheckIcon />, status: "success" };
  return (
    <Label {...look} variant="outline" onClick={onClick} className="fg-badge" title={completeness?.words ?? "The ledger has not been read yet"}>
      <span className="fg-badge-word">{completeness && share === null ? "completeness " : "complete "}</span>
      {share !== null ? percent(share / 100) : completeness ? "unknown" : "…"}
    </Label>
  );
}
