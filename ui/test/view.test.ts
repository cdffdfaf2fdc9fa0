// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { command } from "../src/state/command";
import { edgeKey, nodeKey, parseOpen } from "../src/state/open";
import { moved, rangeLabel, rangeParams, sinceMs } from "../src/state/range";
import { narrowed, quoted, term } from "../src/state/terms";
import { DEFAULT_VIEW, parseView, shareLink, type View, writeView } from "../src/state/view";

const view = (patch: Partial<View>): View => ({ ...DEFAULT_VIEW, ...patch });

describe("the URL", () => {
  it("is empty for the default view", () => {
    expect(writeView(DEFAULT_VIEW)).toBe("");
    expect(parseView("")).toEqual(DEFAULT_VIEW);
  });

  it.each<[string, Partial<View>]>([
    ["filter", { filter: 'namespace = flow-demo and name ~ "a b&c=d"' }],
    ["relative range", { since: "6h" }],
    ["absolute range", { from: 1_795_646_000_000, to: 1_795_646_900_000, live: false }],
    ["live off", { live: false }],
    ["tab and drawer", { tab: "conversations", open: "edge~a/b/c~d~5432~6" }],
  ])("gives back the %s that was written", (_, patch) => {
    expect(parseView(writeView(view(patch)))).toEqual(view(patch));
  });

  it("keeps parameters that are not ours", () => {
    expect(writeView(view({ filter: "port = 53" }), "?theme=dark")).toBe("?theme=dark&filter=port+%3D+53");
  });

  it.each(["?from=9&to=3", "?from=x&to=3", "?since=15", "?since=-1h", "?tab=nonsense", "?from=5"])("takes %s as nothing said", (search) => {
    expect(parseView(search)).toEqual(DEFAULT_VIEW);
  });

  it("shares the minutes on screen, not the relative range", () => {
    const link = shareLink(view({ filter: "port = 53" }), { from_ms: 1000, to_ms: 2000 });
    expect(parseView(new URL(link).search)).toEqual(view({ filter: "port = 53", from: 1000, to: 2000, live: false }));
  });
});

describe("what the drawer shows", () => {
  it("names an edge so that odd names survive", () => {
    const edge = { src: "/Subnet/EXT:a~b 50%", dst: "flow-demo/Deployment/postgresql", dst_port: 5432, proto: 6 };
    expect(parseOpen(edgeKey(edge))).toEqual({ what: "edge", src: edge.src, dst: edge.dst, port: 5432, proto: 6 });
    expect(parseOpen(edgeKey({ ...edge, dst_port: null, proto: 1 }))).toMatchObject({ port: null, proto: 1 });
    expect(parseOpen(nodeKey(edge.src))).toEqual({ what: "node", id: edge.src });
  });

  it.each(["", "edge~a", "edge~a~b~x~6", "edge~a~b~5432~", "node~", "node~a~b", "flow~1", "anything"])("opens nothing for %j", (open) => {
    expect(parseOpen(open)).toBeUndefined();
  });
});

describe("time ranges", () => {
  it("reads durations", () => {
    expect([sinceMs("90s"), sinceMs("15m"), sinceMs("2h"), sinceMs("7d"), sinceMs("1w")]).toEqual([90_000, 900_000, 7_200_000, 604_800_000, 604_800_000]);
  });

  it("asks the API for what the view says", () => {
    expect(rangeParams(view({ since: "1h" }))).toEqual({ since: "1h" });
    expect(rangeParams(view({ from: 1, to: 2 }))).toEqual({ from: 1, to: 2 });
  });

  it("steps by its own length, from now when it was relative", () => {
    expect(moved(view({ since: "1m" }), -1, 600_000)).toEqual({ from: 480_000, to: 540_000 });
    expect(moved(view({ from: 100, to: 300 }), 1, 600_000)).toEqual({ from: 300, to: 500 });
  });

  it("has a name for each range", () => {
    expect(rangeLabel(view({ since: "15m" }))).toBe("Last 15 minutes");
    expect(rangeLabel(view({ since: "3h" }))).toBe("Last 3h");
  });
});

describe("filter text", () => {
  it("quotes what is not a plain word, and the language's own words", () => {
    expect(quoted("flow-demo")).toBe("flow-demo");
    expect(quoted("10.0.0.0/8")).toBe("10.0.0.0/8");
    expect(quoted("a b")).toBe('"a b"');
    expect(quoted("and")).toBe('"and"');
    expect(quoted('say "hi" \\ bye')).toBe('"say \\"hi\\" \\\\ bye"');
    expect(term("src_owner", "EXT: office", "!=")).toBe('src_owner != "EXT: office"');
  });

  it("narrows a filter without repeating a term", () => {
    expect(narrowed("", "port = 53")).toBe("port = 53");
    expect(narrowed("namespace = a", "port = 53")).toBe("namespace = a and port = 53");
    expect(narrowed("port = 53", "port = 53")).toBe("port = 53");
    expect(narrowed("port = 5", "port = 53")).toBe("port = 5 and port = 53");
    expect(narrowed("port = 53", "port = 5")).toBe("port = 53 and port = 5");
  });

  it("puts an or in parentheses, also one whose outer parentheses belong to its parts", () => {
    expect(narrowed("a = 1 or b = 2", "c = 3")).toBe("(a = 1 or b = 2) and c = 3");
    expect(narrowed("(a = 1) or (b = 2)", "c = 3")).toBe("((a = 1) or (b = 2)) and c = 3");
    expect(narrowed("(a = 1 or b = 2)", "c = 3")).toBe("(a = 1 or b = 2) and c = 3");
    expect(narrowed("c = 3", "a = 1 or b = 2")).toBe("c = 3 and (a = 1 or b = 2)");
  });
});

it("says the same question for a terminal", () => {
  expect(command(view({ filter: "namespace = flow-demo" }))).toBe("flowgauge flows 'namespace = flow-demo' --since 15m");
  expect(command(view({ filter: "name = \"it's\"", from: 0, to: 60_000 }), "--by src_owner")).toBe(
    `flowgauge flows 'name = "it'\\''s"' --from 1970-01-01T00:00:00.000Z --to 1970-01-01T00:01:00.000Z --by src_owner`,
  );
});
