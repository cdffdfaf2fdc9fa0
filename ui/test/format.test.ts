// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { Row, TopologyEdge, TopologyNode } from "../src/api/types";
import { byPlace, placeWords } from "../src/drawer/CompletenessDetail";
import { canFilter, remaining, shown } from "../src/format/columns";
import { csv } from "../src/format/csv";
import { addressWords, coveredSeconds, edgeFilter, edgeSentence, endTerms, healthOf, isIll, nodeWords } from "../src/format/edge";
import { endName, flowKey, flowOfKey, packetError, remarks, scaledBytes, sentence, servedPort } from "../src/format/flow";
import { portText, portWords } from "../src/format/ports";
import { summary, troubled, troubleTime } from "../src/format/summary";
import { bytes, capital, count, counted, dateTime, duration, percent, rangeAndLength, rate, timeRange, timeToSecond, zone } from "../src/format/units";
import { edge, node, onTheDayOf, trouble } from "./scene";

const ROW: Row = {
  time_end_ns: 1_795_646_930_000_000_000, duration_ns: 4_600_000_000, src_addr: "10.128.0.11", dst_addr: "10.128.2.13", src_port: 40000, dst_port: 5432,
  proto: 6, bytes: 21_000, packets: 30, sampling_rate: 1, tcp_flags: 0x18, exporter_addr: "192.168.50.11", src_namespace: "flow-demo",
  src_owner: "django-psql-example", src_owner_kind: "Deployment", dst_namespace: "flow-demo", dst_owner: "postgresql", dst_service: "postgresql",
}; // prettier-ignore

describe("numbers", () => {
  it("scales by 1000 with the unit, and never shows 1000 of a smaller one", () => {
    expect([0, 999, 1000, 999_499, 999_500, 21_000, 1.5e9].map(bytes)).toEqual(["0 B", "999 B", "1.0 kB", "999 kB", "1.0 MB", "21.0 kB", "1.5 GB"]);
    expect(rate(59_700)).toBe("59.7 kB/s");
  });

  it("groups thousands and knows the singular", () => {
    expect(count(1_234_567)).toBe("1\u202f234\u202f567");
    expect([counted(1, "flow"), counted(2, "flow"), counted(0, "flow")]).toEqual(["1 flow", "2 flows", "0 flows"]);
  });

  it("says in which zone a full time is, and the day of a range once", () => {
    const at = Date.parse("2026-11-26T10:02:30Z");
    expect(zone(at)).toMatch(/^[A-Z]/);
    expect(dateTime(at).endsWith(` ${zone(at)}`)).toBe(true);
    expect(timeRange(at, at + 60_000).match(/Nov/g)).toHaveLength(1);
    expect(timeRange(at, at + 3 * 86_400_000).match(/Nov/g)).toHaveLength(2);
  });

  it("names the day of a time that is not of today, and the year of another one", () => {
    const now = Date.parse("2026-11-26T10:02:30");
    const before = (days: number): string => timeToSecond(now - days * 86_400_000, now);
    expect([before(0), before(1), before(400)]).toEqual(["10:02:30", "25 Nov, 10:02:30", "22 Oct 2025, 10:02:30"]);
    expect(timeRange(now, now + 60_000, now)).toBe("26 Nov, 10:02:30 – 10:03:30");
    const newYear = Date.parse("2027-01-01T00:00:00");
    expect(timeRange(newYear - 60_000, newYear + 60_000, now)).toBe("31 Dec 2026, 23:59:00 – 1 Jan 2027, 00:01:00");
    expect(timeRange(newYear, newYear + 60_000, now)).toBe("1 Jan 2027, 00:00:00 – 00:01:00");
    expect(rangeAndLength(now, now + 192_400, now)).toBe("26 Nov, 10:02:30 – 10:05:42 (3 min 12 s)");
  });

  it("begins a sentence, but never writes a name otherwise", () => {
    expect(["round trips take 3 ms", "errors, full queues", "9 packets"].map(capital)).toEqual(["Round trips take 3 ms", "Errors, full queues", "9 packets"]);
    expect(["bulk-receiver:9100 reads too slowly", "db:5432 reads too slowly"].map(capital)).toEqual(["bulk-receiver:9100 reads too slowly", "db:5432 reads too slowly"]);
  });

  it("gives durations in the unit that fits", () => {
    expect([900, 435_000, 9_650_000, 4_600_000_000, 90_000_000_000, 3_720_000_000_000].map(duration)).toEqual(["900 ns", "435 µs", "9.65 ms", "4.6 s", "1 min 30 s", "1 h 2 min"]);
  });

  it("never rounds a loss away", () => {
    expect([1, 0.99996, 0.9999, 0.5, 0].map(percent)).toEqual(["100 %", "99.99 %", "99.99 %", "50 %", "0 %"]);
  });
});

describe("a flow", () => {
  it("is a sentence", () => {
    expect(sentence(ROW)).toBe("django-psql-example (flow-demo) sent 21.0 kB in 30 packets to postgresql (flow-demo) on port 5432 over TCP in 4.6 s.");
  });

  it("that answers comes from the served port", () => {
    const reply = { ...ROW, src_port: 5432, dst_port: 40000 };
    expect(servedPort(reply)).toEqual({ port: 5432, end: "src" });
    expect(sentence(reply)).toContain("from port 5432");
  });

  it("seen 1 of 100 is scaled, said to be about, and has an error", () => {
    const row = { ...ROW, sampling_rate: 100 };
    expect(scaledBytes(row)).toBe(2_100_000);
    expect(sentence(row)).toContain("sent about 2.1 MB in 3\u202f000 packets");
    expect(packetError(row)).toBeCloseTo(1.96 * Math.sqrt(0.99 / 30), 6);
    expect(packetError(ROW)).toBe(0);
  });

  it("names an end by the best that is known", () => {
    expect(endName({ src_addr: "203.0.113.10", src_subnet: "EXT:office" }, "src")).toEqual({ label: "office", column: "src_subnet", value: "EXT:office" });
    expect(endName({ src_addr: "203.0.113.10" }, "src").column).toBe("src_addr");
    expect(endName({}, "src")).toEqual({ label: "unknown", column: "", value: "" });
  });

  it("is found again by its key", () => {
    expect(flowOfKey(flowKey(ROW))).toEqual({
      filter: "src_addr = 10.128.0.11 and dst_addr = 10.128.2.13 and src_port = 40000 and dst_port = 5432 and proto = 6 and exporter_addr = 192.168.50.11",
      from: 1_795_646_930_000,
      to: 1_795_646_930_001,
    });
    expect(flowOfKey("flow~x")).toBeUndefined();
  });

  it("tells what went wrong and what it asked", () => {
    expect(remarks(ROW)).toEqual([]);
    expect(remarks({ ...ROW, retransmits: 3, drop_packets: 1, drop_cause: "NO_SOCKET" }).map((one) => one.text)).toEqual(["1 packet dropped: NO_SOCKET", "3 sent again"]);
    expect(remarks({ ...ROW, tcp_flags: 0x04 })).toEqual([{ text: "reset", bad: true }]);
    expect(remarks({ proto: 17, dns_name: "x.svc", dns_rcode: "NXDOMAIN" }).map((one) => [one.text, one.bad])).toEqual([["asked x.svc", false], ["NXDOMAIN", true]]);
    expect(remarks({ proto: 6, tls_server_name: "pay.svc", tls_version: "TLS 1.0" }).map((one) => [one.text, one.bad])).toEqual([["for pay.svc", false], ["TLS 1.0, outdated", true]]);
    expect(remarks({ proto: 6, tls_server_name: "pay.svc", tls_version: "TLS 1.2" }).map((one) => one.text)).toEqual(["for pay.svc"]);
  });
});

describe("a column's value", () => {
  it("reads in its unit", () => {
    expect(shown("proto", 17)).toBe("UDP");
    expect(shown("tcp_flags", 0x12)).toBe("SYN ACK");
    expect(shown("rtt_avg_ns", 435_000)).toBe("435 µs");
    expect(shown("sampling_rate", 100)).toBe("1 of 100 packets");
    expect(shown("observed_if_dirs", [0, 1])).toBe("in, out");
    expect(shown("dst_port", 5432)).toBe("5432");
  });

  it("can be filtered by unless it is a time or a list", () => {
    expect([canFilter("dst_port", 53), canFilter("time_end_ns", 1), canFilter("observed_if_names", ["eth0"])]).toEqual([true, false, false]);
  });

  it("that no section shows is still listed", () => {
    expect(remaining({ ...ROW, conversation_id: 7, vlan_id: 3 })).toEqual(["conversation_id", "vlan_id"]);
  });
});

describe("ports", () => {
  it("have the name that people and filters use", () => {
    expect([portWords(5432, 6), portWords(8080, 6), portWords(53, 17), portWords(9999, 17), portWords(null, 1)]).toEqual(["postgresql 5432", "http 8080", "dns 53", "port 9999/UDP", "ICMP"]);
    expect([portText(5432, 6), portText(53, 17), portText(null, 58)]).toEqual(["5432", "53/UDP", "ICMPv6"]);
  });

  it("that clients ask for stand before the server's own", () => {
    expect([portWords(8443, 6, [443]), portWords(9999, 6, [30_443]), portWords(5353, 17, [53])]).toEqual(["https 443 → 8443", "port 30443 → 9999", "dns 53 → 5353"]);
    expect([portWords(8443, 6, [80, 443]), portWords(8443, 6, [80, 443, 9443]), portWords(8443, 6, [])]).toEqual(["ports 80, 443 → 8443", "3 ports → 8443", "https 8443"]);
    expect([portText(8443, 6, [443]), portText(5353, 17, [53])]).toEqual(["443 → 8443", "53 → 5353/UDP"]);
  });
});

describe("an edge", () => {
  const django: TopologyNode = node("flow-demo", "django-psql-example");
  const office: TopologyNode = { ...node("", "EXT:head office"), owner_kind: "Subnet", kind: "peer" };

  it("picks its flows of both directions", () => {
    expect(edgeFilter({ dst_port: 8080, asked_ports: [], proto: 6 }, office, django, { nodes: [office, django] })).toBe(
      '(src_subnet = "EXT:head office" and dst_namespace = flow-demo and dst_owner = django-psql-example and dst_port = 8080 and proto = 6) or ' +
        '(dst_subnet = "EXT:head office" and src_namespace = flow-demo and src_owner = django-psql-example and src_port = 8080 and proto = 6)',
    );
  });

  it("through a Service with another port picks the requests to that, and the answers", () => {
    const filter = edgeFilter({ dst_port: 8443, asked_ports: [443], proto: 6 }, office, django, { nodes: [office, django] });
    expect(filter).toContain("(dst_port = 8443 or target_port = 8443) and proto = 6) or ");
    expect(filter).toContain("(src_port = 8443 or target_port = 8443)");
    expect(edgeSentence({ ...edge(office, django, 8443), asked_ports: [443] }, "office", "django", 10)).toContain("over https 443 → 8443:");
  });

  it("of addresses without a name says that there is none, and how far away they may be", () => {
    const unnamed = ['not dst_owner ~ "."', 'not dst_name ~ "."', 'not dst_subnet ~ "."'];
    const [abroad, others] = ["Public", ""].map((owner_kind) => ({ ...node("", ""), owner_kind, kind: "unknown" })) as [TopologyNode, TopologyNode];
    expect(endTerms(abroad, "dst", { nodes: [office] })).toEqual(["dst_addr = public", ...unnamed]);
    expect(endTerms(others, "dst", { nodes: [office] })).toEqual(["not dst_addr = public", "not dst_addr = private", ...unnamed]);
    expect([abroad, others].map((one) => nodeWords(one))).toEqual(["public addresses without a name", "addresses without a name"]);
  });

  it("names the largest of addresses without a name, and says how many others there are", () => {
    expect(addressWords({ largest: ["203.0.113.9"], count: 1 })).toBe("203.0.113.9");
    expect(addressWords({ largest: ["203.0.113.9", "203.0.113.7", "203.0.113.8"], count: 12_003 })).toBe("203.0.113.9, 203.0.113.7, 203.0.113.8 and 12\u202f000 others");
    expect(addressWords({ largest: ["203.0.113.9", "203.0.113.7", "203.0.113.8"], count: 4 }, 1)).toBe("203.0.113.9 and 3 others");
    const abroad = { ...edge(node("", ""), django, 8080), src_addrs: { largest: ["203.0.113.9"], count: 1 } };
    expect(edgeSentence(abroad, "public addresses", "django", 10)).toMatch(/^public addresses talk to django/);
    expect(addressWords({ largest: ["203.0.113.9", "203.0.113.7", "203.0.113.8"], count: 4 })).toBe("203.0.113.9, 203.0.113.7, 203.0.113.8 and 1 other");
  });

  it("of a peer that clients resolved goes by that name, and the rest of its subnet by the subnet", () => {
    const api: TopologyNode = { ...node("", "api.example.com"), owner_kind: "DNS", kind: "peer" };
    const nodes = [office, django, api];
    expect(endTerms(api, "dst", { nodes })).toEqual(["dst_dns_name = api.example.com"]);
    expect(endTerms(office, "src", { nodes })).toEqual(['src_subnet = "EXT:head office"', 'not src_dns_name ~ "."']);
    expect(endTerms({ ...office, kind: "unknown" }, "src", { nodes })).toContain('not src_dns_name ~ "."');
  });

  it("is a sentence with both directions", () => {
    const one: TopologyEdge = { ...edge(office, django, 8080), bytes: 101_000, bytes_to_server: 5_000, bytes_to_client: 96_000, flows: 2, approx: true };
    expect(edgeSentence(one, "office", "django", 10)).toBe("office talks to django over http 8080: about 5.0 kB to the server and 96.0 kB back, 10.1 kB/s on average, in 2 flows.");
  });

  it("is slow or failing by what goes wrong", () => {
    const one = edge(office, django, 8080);
    expect(healthOf(one)).toBe("fine");
    expect(healthOf({ ...one, troubles: [trouble("rtt", { gravity: "slow" })] })).toBe("slow");
    expect(healthOf({ ...one, troubles: [trouble("drops"), trouble("rtt", { gravity: "slow" })] })).toBe("failing");
  });

  it("is well again when its trouble is over, and never ill of what is too small to be felt", () => {
    const one = { ...edge(office, django, 8080), troubles: [trouble("drops", { over: true })] };
    expect([healthOf(one), isIll(one)]).toEqual(["over", false]);
    expect(healthOf({ ...one, troubles: [trouble("drops", { gravity: "small" })] })).toBe("fine");
  });

  it("has a rate over the time that the store covers", () => {
    expect(coveredSeconds({ from_ms: 0, to_ms: 900_000 }, undefined)).toBe(900);
    expect(coveredSeconds({ from_ms: 0, to_ms: 900_000 }, 840_000)).toBe(60);
    expect(coveredSeconds({ from_ms: 0, to_ms: 900_000 }, 899_999)).toBe(1);
  });
});

describe("the page's sentence", () => {
  const [a, b] = [node("flow-demo", "a"), node("flow-demo", "b")];
  const topology = { nodes: [a, b], edges: [{ ...edge(a, b, 80), bytes: 9_000 }], edge_count: 3, others: { bytes: 1_000 }, troubled: [], crossing: "", unseen: "", window: { from_ms: 0, to_ms: 10_000 } };

  it("counts also what the further edges hold", () => {
    expect(summary(topology, 10)).toBe("2 workloads in 3 conversations: 10.0 kB, 1.0 kB/s. No trouble now in the 1 largest.");
  });

  it("says that nothing goes wrong only where it knows all", () => {
    expect(summary({ ...topology, edge_count: 1 }, 10)).toMatch(/ No trouble now\.$/);
    const end = topology.window.to_ms;
    expect(summary({ ...topology, edge_count: 1 }, 10, { endedMs: end - 60_000, askedMs: end })).toMatch(/ No trouble now\.$/);
    expect(summary({ ...topology, edge_count: 1 }, 10, { endedMs: end - 190_000, askedMs: end })).toMatch(/ No flow has come for 3 min 10 s, since .*\d: how it goes now is not known\.$/);
  });

  it("puts the worst first, as the API orders them, and what is small apart", () => {
    const sick = [{ ...edge(a, b, 1), troubles: [trouble("rtt")] }, { ...edge(a, b, 2), troubles: [trouble("drops", { gravity: "small" })] }, { ...edge(a, b, 3), troubles: [trouble("refused")] }];
    const { felt, small } = troubled({ edges: sick, troubled: [2, 0, 1] });
    expect([felt.map((one) => one.dst_port), small.map((one) => one.dst_port)]).toEqual([[3, 1], [2]]);
    expect(summary({ ...topology, edges: sick }, 10)).not.toContain("No trouble");
  });
});

it("writes CSV that neither breaks nor runs", () => {
  expect(csv([{ a: 1, b: 'x, "y"' }, { a: null, c: "=HYPERLINK()" }, { c: -5 }])).toBe('a,b,c\r\n1,"x, ""y""",\r\n,,\'=HYPERLINK()\r\n,,-5\r\n');
});

describe("losses", () => {
  const loss = (instance: string, count: number) => ({ component: "agent", instance, counter: "export_records_failed", unit: "records", count, cause: "Records lost." });

  it("of one place are one line, also after a restart", () => {
    expect(byPlace([loss("node-a@1000", 2), loss("node-b@1000", 4), loss("node-a@2000", 3)]).map((one) => [one.instance, one.count])).toEqual([["node-a", 5], ["node-b", 4]]);
  });

  it("say where", () => {
    expect([placeWords("agent", "node-a@1000"), placeWords("collector", "collector@1000")]).toEqual(["agent on node-a", "collector"]);
  });
});

describe("when a trouble was", () => {
  const at = Date.parse("2026-01-31T10:00:00");
  const ended = at + 130_000;
  onTheDayOf(ended);

  it.each([
    [{ since_ms: at, last_ms: 0, over: false }, "since 10:00:00 (2 min 10 s)"],
    [{ since_ms: at, last_ms: ended - 5_000, over: false }, "since 10:00:00 (2 min 10 s)"],
    [{ since_ms: at, last_ms: at + 60_000, over: true }, "from 10:00:00 to 10:01:00, not since (1 min 10 s)"],
    [{ since_ms: at, last_ms: at, over: true }, "at 10:00:00, 2 min 10 s ago"],
    [{ since_ms: 0, last_ms: 0, over: false }, ""],
  ])("%o is said as %s", (times, words) => expect(troubleTime(times, ended)).toBe(words));
});
