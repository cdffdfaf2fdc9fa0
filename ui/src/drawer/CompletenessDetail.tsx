// SPDX-License-Identifier: Apache-2.0
// How complete the window is, in words: what should be there, what is, and where the rest was lost or left out.
import { ExpandableSection, Skeleton } from "@patternfly/react-core";
import { useLedger } from "../api/queries";
import type { Completeness, LedgerComponent, Loss } from "../api/types";
import { ErrorNote } from "../common/ErrorNote";
import { capital, count, dateTime } from "../format/units";
import type { View } from "../state/view";
import { Section } from "./Drawer";

export function CompletenessDetail({ view }: { view: View }) {
  const ledger = useLedger(view, true);
  if (!ledger.data && ledger.error) return <ErrorNote error={ledger.error} what="The ledger cannot be read" onRetry={ledger.refetch} />;
  if (!ledger.data) return <Skeleton height="240px" screenreaderText="Loading the ledger" />;
  const { completeness, components } = ledger.data;
  return (
    <>
      <p className="fg-sentence">{capital(completeness.words)}.</p>
      <p className="fg-context">Each place that can lose a flow counts what it loses. These are their counters over the time range on top, whatever the filter.</p>
      {completeness.known && <Sums completeness={completeness} />}
      <Losses title="What was lost, and where" losses={completeness.losses} none="Nothing was lost." />
      <Losses title="What explains it" losses={completeness.notes} none="" />
      {components.length > 0 && (
        <Section title="Every counter">
          {components.map((one) => (
            <Component key={`${one.component} ${one.instance}`} one={one} />
          ))}
        </Section>
      )}
    </>
  );
}

function Sums({ completeness }: { completeness: Completeness }) {
  const { offered, stored, options, lost, in_flight: flight, packets_seen: seen, packets_kept: kept, packets_lost: gone } = completeness;
  return (
    <>
      <Section title="Packets, in the nodes' kernels">
        <dl className="fg-sum">
          <Line title="seen" value={seen} />
          <Line title="in flows" value={kept} sign="=" />
          <Line title="lost" value={gone} sign="+" bad />
        </dl>
      </Section>
      <Section title="Records, from the agents to the store">
        <dl className="fg-sum">
          <Line title="sent by agents" value={offered} />
          <Line title="stored as flows" value={stored} sign="=" />
          <Line title="used as options" value={options} sign="+" />
          <Line title="lost" value={lost} sign="+" bad />
          {flight >= 0 ? <Line title="still on their way" value={flight} sign="+" /> : <Line title="from devices without a ledger" value={-flight} sign="−" />}
        </dl>
      </Section>
    </>
  );
}

function Line({ title, value, sign = "", bad = false }: { title: string; value: number; sign?: string; bad?: boolean }) {
  return (
    <div className={bad && value > 0 ? "fg-bad" : ""}>
      <dt>
        <span className="fg-sign" aria-hidden>
          {sign}
        </span>
        {title}
      </dt>
      <dd>{count(value)}</dd>
    </div>
  );
}

function Losses({ title, losses, none }: { title: string; losses: Loss[]; none: string }) {
  if (losses.length === 0 && !none) return null;
  return (
    <Section title={title}>
      {losses.length === 0 ? (
        <p className="fg-context">{none}</p>
      ) : (
        <ul className="fg-losses">
          {byPlace(losses).map((loss) => (
            <li key={`${loss.counter} ${loss.component} ${loss.instance}`}>
              <b>{count(loss.count)}</b> {inSentence(loss.cause)} <span className="fg-context">{placeWords(loss.component, loss.instance)}</span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

/** `node-a@1764105000000` is the instance on node-a that started then. */
export const place = (instance: string): string => instance.replace(/@\d+$/, "");

export const placeWords = (component: string, instance: string): string => (place(instance) === component ? component : `${component} on ${place(instance)}`);

/** When an instance started: after a restart there are several of a place. */
function since(instance: string): string {
  const started = /@(\d+)$/.exec(instance)?.[1];
  return started ? `, since ${dateTime(Number(started))}` : "";
}

/** Losses of the same place together: a part that was restarted has several instances. */
export function byPlace(losses: readonly Loss[]): Loss[] {
  const sums = new Map<string, Loss>();
  for (const loss of losses) {
    const instance = place(loss.instance);
    const key = [loss.counter, loss.component, instance].join(" ");
    sums.set(key, { ...loss, instance, count: loss.count + (sums.get(key)?.count ?? 0) });
  }
  return [...sums.values()].toSorted((a, b) => b.count - a.count);
}

/** `Records missing.` becomes `records missing`; `IP packets` stays. */
const inSentence = (cause: string): string => (/^[A-Z][a-z]/.test(cause) ? cause.charAt(0).toLowerCase() + cause.slice(1) : cause).replace(/\.$/, "");

function Component({ one }: { one: LedgerComponent }) {
  const moved = one.counters.filter((counter) => counter.value !== 0 || counter.change !== 0);
  return (
    <ExpandableSection toggleText={placeWords(one.component, one.instance) + since(one.instance)} displaySize="default">
      <table className="fg-counters">
        <thead>
          <tr><th scope="col">Counter</th><th scope="col" className="fg-number">In this range</th><th scope="col" className="fg-number">Since its start</th></tr>
        </thead>
        <tbody>
          {moved.map((counter) => (
            <tr key={counter.name} title={counter.help}>
              <th scope="row">{counter.name}</th>
              <td className="fg-number">{count(counter.change)}</td>
              <td className="fg-number">{count(counter.value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </ExpandableSection>
  );
} // prettier-ignore
