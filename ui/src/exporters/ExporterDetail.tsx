// SPDX-License-Identifier: Apache-2.0
// All that is known of one device, and of each of its observation domains.
import WarningIcon from "@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon";
import type { Exporter } from "../api/types";
import { Section } from "../drawer/Drawer";
import { count, counted, dateTime, duration } from "../format/units";
import { follow } from "../state/address";
import { type Device, flowsLink, lossKnown, lossWords, samplingSource, samplingWords, seenWords, skewWords } from "./devices";
import { formatName } from "./formats";

export function ExporterDetail({ one, nowMs }: { one: Device; nowMs: number }) {
  return (
    <>
      <p className="fg-sentence">{sentence(one, nowMs)}</p>
      {one.advice.map((words) => (
        <p key={words} className="fg-advice-line"><WarningIcon aria-hidden /> {words}</p>
      ))}
      <p><a href={flowsLink(one)} onClick={follow}>Flows of this exporter</a></p>
      <Section title="How it stands">
        <dl className="fg-facts">
          <Fact title="Address">{one.addr}</Fact>
          {senders(one) && <Fact title="Sent from">{senders(one)}</Fact>}
          <Fact title="Protocol">{one.formats.map(formatName).join(", ") || "nothing could be read yet"}</Fact>
          <Fact title="Flows received">{count(one.flows)}</Fact>
          <Fact title="Lost on the way">{lostWords(one)}</Fact>
          <Fact title="Out of order">{disorder(one)}</Fact>
          <Fact title="Clock">{one.skewMs === null ? "not known" : skewWords(one.skewMs)}</Fact>
          <Fact title="Sampling">{samplingWords(one) === "unknown" ? samplingSource(one) : `${samplingWords(one)}, ${samplingSource(one)}`}</Fact>
          <Fact title="Interfaces named">{count(total(one, (domain) => domain.interface_names))}</Fact>
          <Fact title="Last seen">{one.lastSeenMs ? dateTime(one.lastSeenMs) : "never"}</Fact>
        </dl>
      </Section>
      <Section title={one.domains.length === 1 ? "Observation domain" : "Observation domains"}>
        <table className="fg-domains">
          <thead>
            <tr>
              <th scope="col">Domain</th>
              <th scope="col" className="fg-number">Flows</th>
              <th scope="col" className="fg-number">Lost</th>
              <th scope="col" className="fg-number">Templates</th>
              <th scope="col" className="fg-number">Waiting</th>
            </tr>
          </thead>
          <tbody>{one.domains.map((domain) => <Domain key={domain.obs_domain_id} one={domain} />)}</tbody>
        </table>
      </Section>
      <Rates one={one} />
      <Said one={one} />
    </>
  );
} // prettier-ignore

function Fact({ title, children }: { title: string; children: string }) {
  return (
    <div>
      <dt>{title}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Templates with their rhythm, and sets of data that came before theirs. */
function Domain({ one }: { one: Exporter }) {
  const rhythm = one.template_refresh_s ? `, each ${duration(one.template_refresh_s * 1e9)}` : "";
  return (
    <tr>
      <th scope="row">{one.obs_domain_id}</th>
      <td className="fg-number">{count(one.flows)}</td>
      <td className="fg-number">{lostOf(one)}</td>
      <td className="fg-number">{one.templates === null ? "–" : count(one.templates) + rhythm}</td>
      <td className="fg-number" title="Sets of data whose template has not come yet">{count(one.waiting_sets)}</td>
    </tr>
  );
} // prettier-ignore

/** Rates that it told of its parts, where it told more than one. */
function Rates({ one }: { one: Device }) {
  const rates = one.domains.flatMap((domain) => domain.rates);
  if (rates.length < 2) return null;
  return (
    <Section title="Sampling it told">
      <dl className="fg-facts">
        {rates.slice(0, RATES_SHOWN).map((rate, i) => (
          <Fact key={i} title={rate.of}>{`1:${count(rate.rate)}${rate.effective ? `, in effect 1:${count(rate.effective)}` : ""}`}</Fact>
        ))}
      </dl>
      {rates.length > RATES_SHOWN && <p className="fg-context">and {count(rates.length - RATES_SHOWN)} more</p>}
    </Section>
  );
} // prettier-ignore

/** The exporter's own statistics (RFC 7011 §4), which nobody can check from here. */
function Said({ one }: { one: Device }) {
  const said = one.domains.flatMap((domain) => Object.entries(domain.said).map(([name, value]) => ({ name, value, domain: domain.obs_domain_id })));
  if (said.length === 0) return null;
  return (
    <Section title="What it says of itself">
      <dl className="fg-facts">
        {said.map(({ name, value, domain }) => (
          <Fact key={`${domain} ${name}`} title={one.domains.length > 1 ? `${name} (${domain})` : name}>{count(value)}</Fact>
        ))}
      </dl>
    </Section>
  );
} // prettier-ignore

const RATES_SHOWN = 20;

const total = (one: Device, of: (domain: Exporter) => number | null): number => one.domains.reduce((sum, domain) => sum + (of(domain) ?? 0), 0);

/** Addresses of relays and translators, where they are not the exporter's own. */
const senders = (one: Device): string => [...new Set(one.domains.flatMap((domain) => domain.socket_addrs))].join(", ");

/** Records; of lost datagrams of NetFlow v9, which numbers nothing else, what they probably held. */
function lostOf(one: Exporter): string {
  if (one.lost_records === null) return "–";
  return one.lost_records || !one.lost_records_estimated ? count(one.lost_records) : `≈ ${count(one.lost_records_estimated)}`;
}

function lostWords(one: Device): string {
  const [records, datagrams, drops] = [one.lost, one.lostDatagrams, total(one, (domain) => domain.sampler_drops)];
  const parts = [
    records ? `${counted(records, "record")} (${lossWords(one)})` : "",
    datagrams ? counted(datagrams, "datagram") + (one.lostEstimated ? ` with about ${counted(one.lostEstimated, "record")}` : "") : "",
    drops ? `${counted(drops, "sample")} left out by itself` : "",
  ].filter(Boolean);
  return parts.join(", ") || (lossKnown(one) ? "nothing" : "not known");
}

/** What else its sequence numbers say. */
function disorder(one: Device): string {
  const [late, twice, restarts] = [total(one, (domain) => domain.late_datagrams), total(one, (domain) => domain.duplicate_datagrams), total(one, (domain) => domain.restarts)];
  const parts = [late ? `${count(late)} late` : "", twice ? `${count(twice)} twice` : "", restarts ? counted(restarts, "restart") : ""].filter(Boolean);
  return parts.join(", ") || "nothing";
}

function sentence(one: Device, nowMs: number): string {
  const what = one.formats.map(formatName).join(" and ") || "something that could not be read yet";
  const rate = one.flowsPerS >= 0.05 ? `${one.flowsPerS.toFixed(one.flowsPerS < 10 ? 1 : 0)} flows a second` : "no flows now";
  return `${one.name || one.addr} sends ${what}: ${rate}, last heard ${seenWords(one, nowMs)}.`;
}
