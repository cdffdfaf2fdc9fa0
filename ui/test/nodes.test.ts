// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { NodeCongestion, NodeSign } from "../src/api/types";
import { nodesOf } from "../src/format/flow";
import { byNeed, isSilent, lastWords, nodesSentence, QUEUES, trackingShare, trackingWords } from "../src/nodes/signs";
import { rangeWords } from "../src/state/range";
import { DEFAULT_VIEW, nodesLink, parseView } from "../src/state/view";
import { onTheDayOf } from "./scene";

const NOW = 1_795_646_930_000;
const sign = (counter: string, device = ""): NodeSign => ({ counter, device, count: 1, words: counter, advice: "", last_ms: NOW, over: false });
const node = (name: string, more: Partial<NodeCongestion> = {}): NodeCongestion => ({
  node: name, conntrack_entries: 0, conntrack_entries_max: 0, counters: {}, devices: {}, signs: [], told_ms: NOW - 5_000, ...more,
}); // prettier-ignore

const FULL = node("node-c", {
  conntrack_entries: 212, conntrack_entries_max: 1_000,
  counters: { tcp_backlog_overflows: 2, tcp_receive_overflows: 3, cpu_dropped_packets: 120 },
  devices: { eth0: { device_in_dropped_packets: 4, device_out_error_packets: 1 }, eth1: { device_out_dropped_packets: 5 } },
  signs: [sign("cpu_dropped_packets"), sign("device_in_dropped_packets", "eth0")],
}); // prettier-ignore
const PAST = node("node-p", { counters: { listen_overflows: 9 }, signs: [{ ...sign("listen_overflows"), last_ms: NOW - 250_000, over: true }] });
const SILENT = node("node-10", { told_ms: NOW - 61_000 });

describe("nodes", () => {
  onTheDayOf(NOW);

  it("that need a look come first, then by name as people count", () => {
    expect(byNeed([node("node-2"), PAST, SILENT, node("node-1"), FULL], NOW).map((one) => one.node)).toEqual(["node-10", "node-c", "node-p", "node-1", "node-2"]);
  });

  it("say of what is over that it is, and how long since", () => {
    expect(lastWords(PAST.signs[0]!, NOW)).toMatch(/^over: last at \d\d:\d\d:\d\d, 4 min 10 s ago$/);
    expect(nodesSentence([PAST, node("a")], NOW, "today")).toBe("What node-p dropped or had no room for today is over; nothing was dropped and no queue was full on 1 of 2 nodes.");
    const listen = QUEUES.find((queue) => queue.key === "listen")!;
    expect([listen.of(PAST), listen.goesOn(PAST)]).toEqual([9, false]);
    expect(QUEUES.filter((queue) => queue.goesOn(FULL)).map((queue) => queue.key)).toEqual(["dropped", "cpu"]);
  });

  it("whose agent told nothing for a minute are silent", () => {
    expect([isSilent(SILENT, NOW), isSilent(FULL, NOW)]).toEqual([true, false]);
  });

  it("are said in one sentence", () => {
    expect(nodesSentence([node("a"), node("b")], NOW, "now")).toBe("Nothing was dropped and no queue was full on 2 nodes now.");
    expect(nodesSentence([FULL], NOW, "now")).toBe("node-c dropped packets or had no room for them now.");
    expect(nodesSentence([FULL, SILENT, node("a")], NOW, "now")).toBe(
      "node-c dropped packets or had no room for them now; node-10 is not heard any more; nothing was dropped and no queue was full on 1 of 3 nodes.",
    );
  });

  it("have counters of the same kind in one column", () => {
    expect(QUEUES.map((queue) => [queue.key, queue.of(FULL)])).toEqual([["dropped", 9], ["errors", 1], ["cpu", 120], ["listen", 0], ["tcp", 5], ["udp", 0]]);
  });

  it("say how full connection tracking was, where there is any", () => {
    expect([trackingShare(FULL), trackingWords(FULL)]).toEqual([0.212, "212 of 1\u202f000"]);
    expect([trackingShare(SILENT), trackingWords(SILENT)]).toEqual([null, "not used"]);
  });

  it("of a flow are those of its ends and of who saw it, each once", () => {
    expect(nodesOf([{ src_node: "a", dst_node: "b", node_reporter: "a" }, { dst_node: "c" }])).toEqual(["a", "b", "c"]);
  });

  it("have a page whose address holds the time and what is open", () => {
    const link = nodesLink({ from: 1_000, to: 2_000, live: false, open: "node-c" });
    expect(link).toBe("/nodes?from=1000&to=2000&open=node-c");
    expect(rangeWords(parseView(""))).toBe("in the last 15 minutes");
    expect(rangeWords({ ...DEFAULT_VIEW, since: "90s" })).toBe("in the last 90s");
  });
});
