// SPDX-License-Identifier: Apache-2.0
// What a node had no room for, dropped or found damaged: the sentence, when it was last, and what to do about it.
import WarningIcon from "@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon";
import type { NodeCongestion } from "../api/types";
import { capital, counted } from "../format/units";
import { isSilent, lastWords, silentWords } from "./signs";

const SILENT_ADVICE = "is it still running, and does it reach the collector? The Exporters page says what came from it";

interface Props {
  one: NodeCongestion;
  endMs: number;
  /** How many are shown; the others are counted. */
  most?: number;
}

export function SignLines({ one, endMs, most = Infinity }: Props) {
  const more = one.signs.length - most;
  return (
    <ul className="fg-signs">
      {isSilent(one, endMs) && <Line words={silentWords(one)} last="" advice={SILENT_ADVICE} />}
      {one.signs.slice(0, most).map((sign) => (
        <Line key={`${sign.counter} ${sign.device}`} words={sign.words} last={lastWords(sign)} advice={sign.advice} />
      ))}
      {more > 0 && <li className="fg-context">and {counted(more, "more sign")}</li>}
    </ul>
  );
}

/** A sentence that begins with an interface's name keeps it as it is. */
const begun = (words: string): string => (/^(connection tracking|its) /.test(words) ? capital(words) : words);

function Line({ words, last, advice }: { words: string; last: string; advice: string }) {
  return (
    <li>
      <p className="fg-sign-words">
        <WarningIcon aria-label="to look at" /> {begun(words)}
        {last && <span className="fg-context"> {last}</span>}
      </p>
      <p className="fg-context">{capital(advice)}.</p>
    </li>
  );
}
