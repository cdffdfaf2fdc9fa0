// SPDX-License-Identifier: Apache-2.0
// One node over the page's time: what it dropped and had no room for, how full connection tracking was, what its pods moved.
import { useBytes } from "../api/queries";
import type { NodesHistory } from "../api/types";
import { Section } from "../drawer/Drawer";
import { capital, count, percent, rate, timeToSecond, zone } from "../format/units";
import { term } from "../state/terms";
import type { View } from "../state/view";
import { HistoryChart } from "./HistoryChart";
import { countWords, lackWords, largest, stepWords, sum, together, type Values } from "./history";
import { QUEUES } from "./signs";

/** Above, connection tracking is nearly full (`query/nodes.py`, NEARLY_FULL). */
const NEARLY_FULL = 0.8;

export function NodeHistory({ node, answer, view }: { node: string; answer: NodesHistory; view: View }) {
  const { times_ms: times, step_ms: step } = answer;
  const history = answer.nodes.find((one) => one.node === node);
  const lack = lackWords(history, times, step);
  const charts = history ? QUEUES.map((queue) => ({ queue, values: together(history, queue.names) })) : [];
  const quiet = charts.filter(({ values }) => sum(values) === 0).map(({ queue }) => queue.quiet);
  return (
    <Section title={`Over time, ${stepWords(step)} a bar`}>
      {lack && <p className="fg-context fg-history-lack">{lack}</p>}
      {history && charts.map(({ queue, values }) => sum(values) > 0 && (
        <HistoryChart key={queue.key} title={queue.help} values={values} timesMs={times} badFrom={1} summary={countWords(values, times, step)} words={(value) => `${count(value)} in ${stepWords(step)}`} />
      ))}
      {history && <Tracked values={history.tracked} times={times} />}
      <Moved title="Received by its pods and itself" view={view} filter={term("dst_node", node)} step={step} />
      <Moved title="Sent by its pods and itself" view={view} filter={term("src_node", node)} step={step} />
      {quiet.length > 0 && <p className="fg-context">{capital(quiet.join(", "))}: none.</p>}
      {times.length > 0 && <p className="fg-context">{timeToSecond(times[0]!)} – {timeToSecond(times[times.length - 1]! + step, times[0])} {zone(times[0]!)}. Arrow keys go from bar to bar.</p>}
    </Section>
  );
} // prettier-ignore

function Tracked({ values, times }: { values: Values; times: readonly number[] }) {
  if (values.every((value) => value === null)) return null;
  return (
    <HistoryChart
      title="Room of connection tracking that was taken" values={values} timesMs={times} badFrom={NEARLY_FULL} most={1}
      summary={`${percent(largest(values))} at most`} words={percent}
    />
  );
} // prettier-ignore

/** What flows say: routed traffic of its pods, and its own. */
function Moved({ title, view, filter, step }: { title: string; view: View; filter: string; step: number }) {
  const { data } = useBytes(view, filter, step);
  if (!data) return null;
  const values = data.times_ms.map((_, at) => ((data.series[0]?.values[at] ?? 0) + (data.others[at] ?? 0)) / (data.step_ms / 1000));
  const all = values.reduce((total, one) => total + one, 0);
  return (
    <HistoryChart
      title={title} values={values} timesMs={data.times_ms} badFrom={Infinity}
      summary={all === 0 ? "no flow" : `${rate(all / values.length)} on average, at most ${rate(largest(values))}`} words={rate}
    />
  );
} // prettier-ignore
