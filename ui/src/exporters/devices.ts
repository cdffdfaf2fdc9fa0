// SPDX-License-Identifier: Apache-2.0
// The collector's entries, one for each exporter and observation domain, as devices: what a row of the page shows.
import type { Exporter } from "../api/types";
import type { Sort } from "../state/exporters";
import { trafficLink } from "../state/view";
import { count, duration, percent } from "../format/units";

export interface Device {
  /** Address, and the name where several devices send from one address. */
  key: string;
  addr: string;
  name: string;
  /** Whether another device has the same address, so that only its name tells it. */
  shared: boolean;
  domains: Exporter[];
  formats: string[];
  flows: number;
  flowsPerS: number;
  /** Records missing from its sequence numbers. */
  lost: number;
  lostDatagrams: number;
  /** What those probably held, where only datagrams are numbered. */
  lostEstimated: number;
  /** The largest of its domains; + is behind. */
  skewMs: number | null;
  templates: number | null;
  lastSeenMs: number;
  /** What is most worth saying; of several domains with the domain's number. */
  advice: string[];
}

/** One device for each address; several where entries of one address call themselves differently. */
export function devices(entries: readonly Exporter[]): Device[] {
  const byAddress = new Map<string, Exporter[]>();
  for (const one of entries) byAddress.set(one.exporter_addr, [...(byAddress.get(one.exporter_addr) ?? []), one]);
  return [...byAddress.values()].flatMap((found) => {
    const names = [...new Set(found.map((one) => one.name).filter(Boolean))];
    if (names.length < 2) return [device(found, names[0] ?? "", false)];
    return ["", ...names].map((name) => found.filter((one) => one.name === name)).filter((some) => some.length > 0).map((some) => device(some, some[0]!.name, true));
  });
}

function device(domains: Exporter[], name: string, shared: boolean): Device {
  const addr = domains[0]!.exporter_addr;
  const skews = domains.map((one) => one.clock_skew_ms).filter((ms) => ms !== null);
  const templates = domains.map((one) => one.templates).filter((number) => number !== null);
  return {
    key: shared ? `${addr} ${name}` : addr,
    addr, name, shared, domains,
    formats: [...new Set(domains.map((one) => one.flow_format).filter(Boolean))],
    flows: sum(domains.map((one) => one.flows)),
    flowsPerS: sum(domains.map((one) => one.flows_per_s)),
    lost: sum(domains.map((one) => one.lost_records ?? 0)),
    lostDatagrams: sum(domains.map((one) => one.lost_datagrams ?? 0)),
    lostEstimated: sum(domains.map((one) => one.lost_records_estimated ?? 0)),
    skewMs: skews.length ? skews.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a)) : null,
    templates: templates.length ? sum(templates) : null,
    lastSeenMs: Math.max(...domains.map((one) => one.last_seen_ms)),
    advice: domains.filter((one) => one.advice).toSorted(worstFirst).map((one) => (domains.length > 1 ? `domain ${one.obs_domain_id}: ${one.advice}` : one.advice)),
  };
} // prettier-ignore

/** What cannot be read before what is placed wrong, before what is missing, before the rest. */
const worstFirst = (a: Exporter, b: Exporter): number =>
  b.waiting_sets - a.waiting_sets || Math.abs(b.clock_skew_ms ?? 0) - Math.abs(a.clock_skew_ms ?? 0) || (b.lost_records ?? 0) - (a.lost_records ?? 0);

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Share of its records that did not arrive, 0 to 1. */
export const lossShare = (one: Device): number => (one.lost ? one.lost / (one.lost + one.flows) : 0);

/** v9 numbers datagrams, IPFIX records, sFlow both; some protocols neither. */
export const lossKnown = (one: Device): boolean => one.domains.some((domain) => domain.lost_records !== null || domain.lost_datagrams !== null);

export function lossWords(one: Device): string {
  if (!lossKnown(one)) return "–";
  if (!one.lost && one.lostEstimated) return `≈ ${percent(one.lostEstimated / (one.lostEstimated + one.flows))}`;
  if (!one.lost) return one.lostDatagrams ? `${count(one.lostDatagrams)} datagrams` : "0";
  const share = lossShare(one);
  return share < 0.0001 ? "< 0.01 %" : percent(share);
}

/** Protocols tell an exporter's time in whole seconds, so that less than one is no deviation. */
export function skewWords(ms: number | null): string {
  if (ms === null) return "–";
  if (Math.abs(ms) < 1_000) return "right";
  return `${duration(Math.abs(ms) * 1e6)} ${ms > 0 ? "behind" : "ahead"}`;
}

const SOURCES: Record<string, string> = {
  agent: "told by our agent",
  record: "told in each flow",
  selector: "told of its selector",
  interface: "told of the interface",
  system: "told of the device",
  configured: "set in our configuration",
  unknown: "not told: taken as every packet",
  disputed: "told by its other domains, which differ: taken as every packet",
};

const samplingOf = (one: Exporter): string => (one.sampling ? `1:${count(one.sampling)}` : "unknown");

/** Rates of its domains, each once. */
export const samplingWords = (one: Device): string => [...new Set(one.domains.map(samplingOf))].join(", ");

/** Where the rates came from. */
export const samplingSource = (one: Device): string => [...new Set(one.domains.map((domain) => SOURCES[domain.sampling_source] ?? domain.sampling_source))].join(", ");

export function seenWords(one: Device, nowMs: number): string {
  if (!one.lastSeenMs) return "–";
  const seconds = Math.max(0, Math.floor((nowMs - one.lastSeenMs) / 1000));
  return seconds < 1 ? "now" : `${duration(seconds * 1e9)} ago`;
}

/** Domain numbers while they are few, else how many. */
export function domainWords(one: Device): string {
  const numbers = one.domains.map((domain) => domain.obs_domain_id).toSorted((a, b) => a - b);
  return numbers.length <= 3 ? numbers.join(", ") : `${count(numbers.length)} domains`;
}

/** The flows of a device on the Traffic page. */
export function flowsLink(one: Device, search = ""): string {
  const name = one.shared && one.name ? ` and node_reporter = "${one.name.replaceAll('"', '\\"')}"` : "";
  return trafficLink({ filter: `exporter_addr = ${one.addr}${name}` }, search);
}

/** Rows that contain every word, in any of what they show. */
export function found(all: readonly Device[], find: string): Device[] {
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [...all];
  return all.filter((one) => {
    const text = [one.name, one.addr, ...one.formats, domainWords(one), samplingWords(one), samplingSource(one), ...one.advice].join("\n").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

const natural = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

const VALUES: Record<Sort, (one: Device) => number | string> = {
  name: (one) => one.name || one.addr,
  protocol: (one) => one.formats.join(),
  domains: (one) => one.domains.length,
  rate: (one) => one.flowsPerS,
  lost: (one) => (lossKnown(one) ? lossShare(one) || one.lostDatagrams * 1e-9 : -1),
  skew: (one) => (one.skewMs === null ? -1 : Math.abs(one.skewMs)),
  sampling: (one) => Math.max(...one.domains.map((domain) => domain.sampling)),
  templates: (one) => one.templates ?? -1,
  seen: (one) => one.lastSeenMs,
};

/** In the order asked for; equal ones by name, so that rows keep their places. */
export function ordered(all: readonly Device[], sort: Sort, descending: boolean): Device[] {
  const value = VALUES[sort];
  const compare = (a: Device, b: Device): number => {
    const [x, y] = [value(a), value(b)];
    return typeof x === "number" && typeof y === "number" ? x - y : natural.compare(String(x), String(y));
  };
  return all.toSorted((a, b) => (descending ? -1 : 1) * compare(a, b) || natural.compare(a.key, b.key));
}
