// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { Exporter } from "../src/api/types";
import { devices, domainWords, flowsLink, found, lossWords, ordered, samplingSource, samplingWords, seenWords, skewWords } from "../src/exporters/devices";
import { DEFAULT_EXPORTERS, type ExportersView, parseExporters, writeExporters } from "../src/state/exporters";

const entry = (patch: Partial<Exporter>): Exporter => ({
  exporter_addr: "192.0.2.1", obs_domain_id: 0, name: "", flow_format: "ipfix", socket_addrs: [], flows: 1000, flows_per_s: 1, last_seen_ms: 1_000, sampling: 1,
  sampling_source: "record", effective_sampling: null, rates: [], sampler_drops: null, lost_records: 0, lost_datagrams: null, lost_records_estimated: null, late_datagrams: 0,
  duplicate_datagrams: 0, restarts: 0, clock_skew_ms: 0, templates: 1, provisional_templates: 0, template_refresh_s: 0, waiting_sets: 0, waiting_s: 0,
  interface_names: 0, said: {}, advice: "", ...patch,
}); // prettier-ignore

const one = (...patches: Partial<Exporter>[]) => devices(patches.map(entry))[0]!;

describe("a device", () => {
  it("is one row, whatever domains and protocols it has", () => {
    const router = one({ obs_domain_id: 7, flows: 10, flows_per_s: 2 }, { obs_domain_id: 3, flows: 5, flow_format: "netflow9", name: "core-1" });
    expect([router.name, router.flows, router.flowsPerS, router.formats, domainWords(router)]).toEqual(["core-1", 15, 3, ["ipfix", "netflow9"], "3, 7"]);
  });

  it("is several where they share an address and call themselves differently, and each leads to its own flows", () => {
    const agents = devices([entry({ name: "node-a" }), entry({ name: "node-b", obs_domain_id: 1 })]);
    expect(agents.map((agent) => agent.key)).toEqual(["192.0.2.1 node-a", "192.0.2.1 node-b"]);
    expect(new URLSearchParams(flowsLink(agents[1]!).split("?")[1]).get("filter")).toBe('exporter_addr = 192.0.2.1 and node_reporter = "node-b"');
    expect(new URLSearchParams(flowsLink(one({ name: "node-a" })).split("?")[1]).get("filter")).toBe("exporter_addr = 192.0.2.1");
  });

  it("gives the advice of its worst domain first, with the domain", () => {
    const slow = one({ advice: "samples?" }, { obs_domain_id: 2, clock_skew_ms: -90_000, advice: "clock" }, { obs_domain_id: 3, waiting_sets: 4, advice: "templates" });
    expect(slow.advice).toEqual(["domain 3: templates", "domain 2: clock", "domain 0: samples?"]);
    expect(one({ advice: "clock" }).advice).toEqual(["clock"]);
  });

  it("counts its domains when there are many", () => {
    expect(domainWords(one(...[1, 2, 3, 4].map((id) => ({ obs_domain_id: id }))))).toBe("4 domains");
  });
});

describe("what is told of it", () => {
  it.each<[Partial<Exporter>, string]>([
    [{ lost_records: 0 }, "0"],
    [{ lost_records: 1000 }, "50 %"],
    [{ lost_records: 1, flows: 1_000_000 }, "< 0.01 %"],
    [{ lost_records: null, lost_datagrams: 12 }, "12 datagrams"],
    [{ lost_records: 0, lost_datagrams: 12, lost_records_estimated: 1000, flows: 1000 }, "≈ 50 %"],
    [{ lost_records: null, lost_datagrams: 0 }, "0"],
    [{ lost_records: null, lost_datagrams: null }, "–"],
  ])("of loss: %j is %s", (patch, words) => expect(lossWords(one(patch))).toBe(words));

  it.each<[number | null, string]>([[null, "–"], [400, "right"], [-999, "right"], [3_600_000, "1 h 0 min behind"], [-5_000, "5 s ahead"]])(
    "of its clock: %j ms is %s",
    (ms, words) => expect(skewWords(ms)).toBe(words),
  );

  it("of its sampling: each rate once, and how it is known", () => {
    const mixed = one({ sampling: 100 }, { sampling: 100, obs_domain_id: 1 }, { sampling: 0, sampling_source: "unknown", obs_domain_id: 2 });
    expect([samplingWords(mixed), samplingSource(mixed)]).toEqual(["1:100, unknown", "told in each flow, not told: taken as every packet"]);
  });

  it("of the time it was heard", () => {
    expect([seenWords(one({}), 1_500), seenWords(one({}), 31_000), seenWords(one({ last_seen_ms: 0 }), 5)]).toEqual(["now", "30 s ago", "–"]);
  });
});

describe("the table", () => {
  const all = devices([
    entry({ exporter_addr: "10.0.0.10", flows_per_s: 5, lost_records: 10 }),
    entry({ exporter_addr: "10.0.0.9", flows_per_s: 9, name: "core-2", advice: "its clock is 60 min behind" }),
    entry({ exporter_addr: "10.0.0.11", flows_per_s: 5, lost_records: null, flow_format: "sflow5" }),
  ]);
  const order = (sort: Parameters<typeof ordered>[1], descending: boolean) => ordered(all, sort, descending).map((row) => row.addr.split(".")[3]);

  it("orders numbers as numbers, equals by name, and what is not known last", () => {
    expect(order("rate", true)).toEqual(["9", "10", "11"]);
    expect(order("name", false)).toEqual(["10", "11", "9"]);
    expect(order("lost", true)).toEqual(["10", "9", "11"]);
  });

  it("finds rows that contain every word", () => {
    expect(found(all, "Clock core").map((row) => row.name)).toEqual(["core-2"]);
    expect([found(all, "sflow").length, found(all, "sflow core").length, found(all, " ").length]).toEqual([1, 0, 3]);
  });
});

describe("its address", () => {
  it.each<Partial<ExportersView>>([{}, { find: "a b&c" }, { sort: "lost" }, { sort: "name", descending: false }, { open: "192.0.2.1 node-a" }])("gives back %j", (patch) => {
    expect(parseExporters(writeExporters({ ...DEFAULT_EXPORTERS, ...patch }))).toEqual({ ...DEFAULT_EXPORTERS, ...patch });
  });

  it("is empty for what goes without saying, keeps what is not ours, and takes nonsense as nothing said", () => {
    expect(writeExporters(DEFAULT_EXPORTERS)).toBe("");
    expect(writeExporters({ ...DEFAULT_EXPORTERS, find: "x" }, "?theme=dark")).toBe("?theme=dark&find=x");
    expect(parseExporters("?sort=-nonsense")).toEqual(DEFAULT_EXPORTERS);
  });
});
