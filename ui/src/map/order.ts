// SPDX-License-Identifier: Apache-2.0
// Who stands above whom, and which box beside which. Deterministic; what has a place keeps it.
import { type Graph, type MapNode, NODES, OUTSIDE } from "./graph";

/** Whether a box lies in the uppermost row, above all namespaces. */
export const onTop = (box: string): boolean => box === OUTSIDE || box === NODES;

/** Longer chains of services than this end side by side: a map of a hundred rows helps nobody. */
const DEEPEST = 6;

/**
 * The rank of each node: 0 for the outside and the nodes, from 1 on a server below its clients. A cycle is cut where the
 * walk, in the order of ids, meets it. Nodes in `known` keep their rank.
 */
export function ranksOf(graph: Graph, known: ReadonlyMap<string, number> = new Map()): Map<string, number> {
  const clients = new Map<string, string[]>();
  for (const edge of graph.edges) if (edge.src !== edge.dst) clients.set(edge.dst, [...(clients.get(edge.dst) ?? []), edge.src]);
  const boxes = new Map(graph.nodes.map((node) => [node.id, node.box]));
  const ranks = new Map<string, number>();
  const walking = new Set<string>();
  const rank = (id: string): number => {
    if (onTop(boxes.get(id) ?? OUTSIDE)) return 0;
    const found = ranks.get(id) ?? known.get(id);
    if (found !== undefined) return found;
    if (walking.has(id)) return 0;
    walking.add(id);
    const above = (clients.get(id) ?? []).toSorted().map(rank);
    walking.delete(id);
    const result = Math.min(DEEPEST, 1 + Math.max(0, ...above));
    ranks.set(id, result);
    return result;
  };
  for (const node of graph.nodes.toSorted(byId)) ranks.set(node.id, rank(node.id));
  return ranks;
}

export const byId = (a: MapNode, b: MapNode): number => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

/** Boxes from left to right: those of `before` as they were, each further one where its edges become shortest. */
export function boxOrder(graph: Graph, before: readonly string[] = []): string[] {
  const boxes = new Map(graph.nodes.map((node) => [node.id, node.box]));
  const links = new Map<string, number>();
  const weight = new Map<string, number>();
  for (const edge of graph.edges) {
    const [a, b] = [boxes.get(edge.src) ?? "", boxes.get(edge.dst) ?? ""].toSorted() as [string, string];
    for (const box of [a, b]) weight.set(box, (weight.get(box) ?? 0) + 1);
    if (a !== b && !onTop(a) && !onTop(b)) links.set(`${a} ${b}`, (links.get(`${a} ${b}`) ?? 0) + 1);
  }
  const pairs = [...links].map(([key, count]) => [...key.split(" "), count] as unknown as [string, string, number]);
  const all = [...new Set(boxes.values())].filter((box) => !onTop(box));
  const order = before.filter((box) => all.includes(box));
  const heavier = (a: string, b: string) => (weight.get(b) ?? 0) - (weight.get(a) ?? 0) || (a < b ? -1 : 1);
  for (const box of all.filter((one) => !order.includes(one)).toSorted(heavier)) {
    order.splice(bestPlace(order, box, pairs, all.toSorted(heavier)[0] ?? box), 0, box);
  }
  return order;
}

/** The place with the shortest edges; of equal ones that which keeps `middle` nearest to the middle. */
function bestPlace(order: readonly string[], box: string, pairs: readonly [string, string, number][], middle: string): number {
  let [best, least] = [0, Infinity];
  for (let place = 0; place <= order.length; place++) {
    const places = new Map(order.toSpliced(place, 0, box).map((one, index) => [one, index]));
    const cost = pairs.reduce((sum, [a, b, count]) => {
      const [left, right] = [places.get(a), places.get(b)];
      return left === undefined || right === undefined ? sum : sum + count * Math.abs(left - right);
    }, Math.abs((places.get(middle) ?? 0) - order.length / 2) / 100);
    if (cost < least) [best, least] = [place, cost];
  }
  return best;
}
