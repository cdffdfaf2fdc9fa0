// SPDX-License-Identifier: Apache-2.0
// The layout's laws: what must hold for any graph, and how the demo's story looks.
import { describe, expect, it } from "vitest";
import type { Topology, TopologyEdge, TopologyNode } from "../src/api/types";
import { graphOf, NODES, OUTSIDE, shapeOf, united } from "../src/map/graph";
import { labelsOf, overlap } from "../src/map/labels";
import { labelWidth, layoutOf } from "../src/map/layout";
import { boxOrder, ranksOf } from "../src/map/order";
import { NARROW, PHONE, type Rect, WIDE } from "../src/map/places";
import { at, pathOf, portsOf, routesOf } from "../src/map/routes";
import { beyond } from "../src/map/useZoom";
import { BATCH, DJANGO, DNS, edge, FLOW_DEMO, node, NODE_A, OFFICE, POSTGRES, topologyOf } from "./scene";

/** A repeatable stream of numbers in [0, 1): Park and Miller's generator. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

/** A graph with `count` workloads in some namespaces, peers and edges, cycles and self-calls among them. */
function random(seed: number, count: number): Topology {
  const next = numbers(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)] as T;
  const nodes: TopologyNode[] = Array.from({ length: count }, (_, i) => node(`space-${Math.floor(next() * (1 + count / 4))}`, `work-${i}`));
  nodes.push(OFFICE, NODE_A, node("", "10.0.0.0/8", "Subnet"));
  const edges = new Map<string, TopologyEdge>();
  for (let i = 0; i < count * 2; i++) {
    const one = { ...edge(pick(nodes), pick(nodes), pick([80, 443, 5432, 53, 9090])), bytes: Math.floor(next() * 1e9) };
    edges.set(`${one.src} ${one.dst} ${one.dst_port}`, one);
  }
  return topologyOf(nodes, [...edges.values()]);
}

const pairs = <T>(items: readonly T[]): [T, T][] => items.flatMap((a, i) => items.slice(i + 1).map((b): [T, T] => [a, b]));
const holds = (outer: Rect, inner: Rect) => inner.x >= outer.x && inner.y >= outer.y && inner.x + inner.width <= outer.x + outer.width && inner.y + inner.height <= outer.y + outer.height;

const SIZES = [[3, "wide", WIDE], [12, "wide", WIDE], [12, "phone", PHONE], [40, "wide", WIDE], [40, "phone", PHONE], [300, "wide", WIDE]] as const; // prettier-ignore

describe.each(SIZES)("with %d workloads, %s", (count, _, spacing) => {
  const graph = graphOf(random(count * 7 + 1, count));
  const layout = layoutOf(graph, undefined, spacing);
  const cards = [...layout.places.cards];

  it("every node has a card, and no two cards overlap", () => {
    expect(layout.places.cards.size).toBe(graph.nodes.length);
    expect(pairs(cards).filter(([a, b]) => overlap(a[1], b[1]))).toEqual([]);
  });

  it("boxes hold exactly their own cards and do not overlap", () => {
    expect(pairs(layout.places.boxes).filter(([a, b]) => overlap(a, b)).map(([a, b]) => [a.id, b.id])).toEqual([]);
    for (const box of layout.places.boxes) {
      const inside = cards.filter(([, card]) => holds(box, card)).map(([id]) => id);
      expect(inside.toSorted()).toEqual(graph.nodes.filter((one) => one.box === box.id).map((one) => one.id).toSorted());
    }
  });

  it("labels overlap neither each other nor a card nor a port", () => {
    const ports = graph.nodes.flatMap((one) => portsOf(one, layout.places.cards.get(one.id)!));
    const obstacles = [...cards.map(([, card]) => card), ...ports];
    expect(pairs(layout.labels).filter(([a, b]) => overlap(a, b))).toEqual([]);
    expect(layout.labels.filter((label) => obstacles.some((one) => overlap(label, one)))).toEqual([]);
  });

  it("everything lies on the sheet", () => {
    const sheet = { x: 0, y: 0, width: layout.places.width, height: layout.places.height };
    expect([...layout.places.boxes, ...layout.labels].filter((one) => !holds(sheet, one))).toEqual([]);
  });

  it("is the same again for the same answer in another order", () => {
    const turned = { nodes: graph.nodes.toReversed(), edges: graph.edges.toReversed() };
    expect(layoutOf(turned, undefined, spacing).places.cards).toEqual(layout.places.cards);
    expect(layoutOf(turned, undefined, spacing).labels).toEqual(layout.labels);
  });

  it("every edge has a way without a break", () => {
    expect(layout.routes).toHaveLength(graph.edges.length);
    for (const { curves } of layout.routes) {
      curves.slice(1).forEach((curve, i) => expect(curve[0]).toEqual(curves[i]![3]));
      expect(pathOf(curves)).not.toContain("NaN");
    }
  });
});

describe("the demo's story", () => {
  const graph = graphOf(FLOW_DEMO);
  const layout = layoutOf(graph);
  const card = (one: TopologyNode) => layout.places.cards.get(one.id)!;

  it("stands the outside and the nodes above, servers below their clients", () => {
    expect(card(OFFICE).y).toBeLessThan(card(DJANGO).y);
    expect(card(NODE_A).y).toBe(card(OFFICE).y);
    expect(card(DJANGO).y).toBeLessThan(card(POSTGRES).y);
    expect(card(BATCH).y).toBeLessThan(card(POSTGRES).y);
    expect(graph.nodes.find((one) => one.id === OFFICE.id)).toMatchObject({ box: OUTSIDE, title: "office" });
    expect(graph.nodes.find((one) => one.id === NODE_A.id)?.box).toBe(NODES);
  });

  it("puts the neighbours of flow-demo on its two sides, also when they talk to each other", () => {
    expect(boxOrder(graph).indexOf("flow-demo")).toBe(1);
    expect(boxOrder(graphOf({ ...FLOW_DEMO, edges: [...FLOW_DEMO.edges, edge(BATCH, DNS, 53, 17)] })).indexOf("flow-demo")).toBe(1);
  });

  it("is no wider than its namespaces because of what stands above them", () => {
    const [left, middle, right] = ["a", "b", "c"].map((space) => [node(space, "front"), node(space, "cache"), node(space, "queue")]);
    const outside = ["office", "partner", "users"].map((name) => node("", `EXT:${name}`, "Subnet"));
    const edges = [...outside.map((one) => edge(one, right![2]!, 80)), edge(left![0]!, middle![0]!, 80), edge(middle![0]!, right![0]!, 80)];
    const { places } = layoutOf(graphOf(topologyOf([...left!, ...middle!, ...right!, ...outside], edges)));
    const [above, below] = [true, false].map((top) => places.boxes.filter((box) => (box.id === OUTSIDE) === top));
    const rightOf = (boxes: readonly Rect[]) => Math.max(...boxes.map((box) => box.x + box.width));
    expect(rightOf(above!)).toBe(rightOf(below!));
  });

  it("is two cards wide on a phone, however much there is", () => {
    const widths = [3, 12, 40].map((count) => layoutOf(graphOf(random(count, count)), undefined, PHONE).places.width);
    expect(Math.max(...widths)).toBeLessThanOrEqual(2 * PHONE.card + PHONE.gap + 4 * PHONE.pad + PHONE.boxGap + 24);
  });

  it("keeps every line on the sheet", () => {
    const { places, routes } = layoutOf(graph, undefined, PHONE);
    const xs = routes.flatMap(({ curves }) => curves.flatMap((curve) => [0, 0.25, 0.5, 0.75, 1].map((t) => at(curve, t).x)));
    expect(Math.min(...xs)).toBeGreaterThan(0);
    expect(Math.max(...xs)).toBeLessThan(places.width);
  });

  it.each([["wide", WIDE], ["narrow", NARROW], ["on a phone", PHONE]] as const)("labels every edge, also when %s", (_, spacing) => {
    expect(layoutOf(graph, undefined, spacing).labels).toHaveLength(graph.edges.length);
  });

  it("leaves its client in the order of the ports to which it goes, so that lines do not cross", () => {
    // As text, the id of 10001 comes first.
    const two = graphOf(topologyOf([DJANGO, POSTGRES], [edge(DJANGO, POSTGRES, 10_001), edge(DJANGO, POSTGRES, 9_001)]));
    const ways = routesOf(two, layoutOf(two).places).map(({ curves }) => [at(curves[0]!, 0).x, at(curves.at(-1)!, 1).x] as const);
    expect(ways.toSorted((a, b) => a[0] - b[0])).toEqual(ways.toSorted((a, b) => a[1] - b[1]));
  });

  it("lands each edge on the port that serves it", () => {
    const route = layout.routes.find((one) => one.edge.src === BATCH.id)!;
    const [port] = portsOf(graph.nodes.find((one) => one.id === POSTGRES.id)!, card(POSTGRES));
    const end = at(route.curves.at(-1)!, 1);
    expect(end.x).toBeCloseTo(port!.x + port!.width / 2);
    expect(end.y).toBeCloseTo(port!.y);
  });

  it("keeps every place when an edge goes quiet", () => {
    const quiet = graphOf({ ...FLOW_DEMO, edges: FLOW_DEMO.edges.filter((one) => one.src !== BATCH.id), nodes: FLOW_DEMO.nodes.filter((one) => one.id !== BATCH.id) });
    expect(shapeOf(united(graph, quiet))).toBe(shapeOf(graph));
  });

  it("keeps ranks and sides when a workload appears", () => {
    const cache = node("flow-demo", "cache");
    const more = topologyOf([...FLOW_DEMO.nodes, cache], [...FLOW_DEMO.edges, edge(DJANGO, cache, 6379), edge(cache, BATCH, 9000)]);
    const next = layoutOf(united(graph, graphOf(more)), layout);
    for (const one of [OFFICE, DJANGO, POSTGRES, DNS, BATCH]) expect(next.places.cards.get(one.id)!.y).toBe(card(one).y);
    expect(next.places.order).toEqual(layout.places.order);
  });
});

it("tells a part that somebody chose from the end of the map that a larger frame shows", () => {
  const frame = { scrollTop: 0, scrollHeight: 292, clientHeight: 292, scrollWidth: 721, clientWidth: 693 };
  const [put, end] = [{ left: 40, top: 0 }, 721 - 693];
  expect(beyond({ ...frame, scrollLeft: end }, put)).toEqual([0, 0]);
  expect(beyond({ ...frame, scrollLeft: 10 }, put)).toEqual([10 - end, 0]);
});

it("cuts a cycle and still places its members", () => {
  const [a, b, c] = [node("x", "a"), node("x", "b"), node("x", "c")];
  const ranks = ranksOf(graphOf(topologyOf([a, b, c], [edge(a, b, 1), edge(b, c, 1), edge(c, a, 1), edge(a, a, 1)])));
  expect([...ranks.values()].toSorted()).toEqual([1, 2, 3]);
});

it("shows a few ports and says how many more there are", () => {
  const many = topologyOf([DJANGO, POSTGRES], [1, 2, 3, 4, 5].map((port) => edge(DJANGO, POSTGRES, port)));
  const ports = portsOf(graphOf(many).nodes[1]!, { x: 0, y: 100, width: 196, height: 46 });
  expect(ports.map((port) => port.more || port.port)).toEqual([1, 2, 3]);
  expect(ports.at(-1)).toMatchObject({ more: 3 });
});

it("leaves an edge without a label rather than hiding something under it", () => {
  const graph = graphOf(FLOW_DEMO);
  const layout = layoutOf(graph);
  expect(labelsOf(layout.routes, graph.nodes, layout.places, () => 5000)).toEqual([]);
  expect(labelWidth(layout.routes[0]!)).toBeGreaterThan(80);
});
