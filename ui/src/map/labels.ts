// SPDX-License-Identifier: Apache-2.0
// Where the labels of edges stand: on their own line, never on a card, a title or another label.
import { boxTitle } from "./graph";
import type { Places, Rect } from "./places";
import { at, portsOf, type Point, type Route } from "./routes";
import type { MapNode } from "./graph";

export const LABEL_HEIGHT = 34;
/** Beyond this many, labels say less than the map without them; the numbers are there on hover. */
const LABELLED = 150;
const CANDIDATES = [0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74, 0.18, 0.82];
const SAMPLES = 20;
const CLEAR = 4;

export interface Label extends Rect {
  id: string;
}

/** Pixels that a text takes at `size`: a little more than the mean letter of the font, so that nothing is cut. */
export const textWidth = (text: string, size: number): number => text.length * size * 0.58;

/** Labels `width(route)` wide for the edges in the order given; an edge without room for one gets none. */
export function labelsOf(routes: readonly Route[], nodes: readonly MapNode[], places: Places, width: (route: Route) => number): Label[] {
  const taken = obstacles(nodes, places);
  const lines = routes.map((route) => ({ id: route.edge.id, points: samples(route) }));
  const labels: Label[] = [];
  for (const route of routes.slice(0, LABELLED)) {
    const others = lines.filter((line) => line.id !== route.edge.id);
    const rect = best(route, width(route), taken, others);
    if (!rect) continue;
    labels.push({ id: route.edge.id, ...rect });
    taken.push(rect);
  }
  return labels;
}

function obstacles(nodes: readonly MapNode[], places: Places): Rect[] {
  const titles = places.boxes.map((box) => ({ x: box.x + 10, y: box.y - 10, width: textWidth(boxTitle(box.id), 13) + 16, height: 20 }));
  const cards = nodes.flatMap((node) => {
    const card = places.cards.get(node.id);
    return card ? [card, ...portsOf(node, card)] : [];
  });
  return [...cards, ...titles];
}

const samples = (route: Route): Point[] => route.curves.flatMap((curve) => Array.from({ length: SAMPLES }, (_, i) => at(curve, (i + 0.5) / SAMPLES)));

/** The free place that hides least of other lines, as near to the middle of a curve as may be. */
function best(route: Route, width: number, taken: readonly Rect[], others: readonly { points: Point[] }[]): Rect | undefined {
  let found: Rect | undefined;
  let least = Infinity;
  // The last curve first: there the line comes to its server.
  for (const curve of route.curves.toReversed()) {
    for (const t of CANDIDATES) {
      const middle = at(curve, t);
      const rect = { x: middle.x - width / 2, y: middle.y - LABEL_HEIGHT / 2, width, height: LABEL_HEIGHT };
      if (taken.some((one) => overlap(one, rect, CLEAR))) continue;
      const hidden = others.reduce((sum, line) => sum + line.points.filter((point) => inside(point, rect)).length, 0);
      if (hidden < least) [found, least] = [rect, hidden];
    }
  }
  return found;
}

export function overlap(a: Rect, b: Rect, clear = 0): boolean {
  return a.x < b.x + b.width + clear && b.x < a.x + a.width + clear && a.y < b.y + b.height + clear && b.y < a.y + a.height + clear;
}

const inside = (point: Point, rect: Rect): boolean => point.x >= rect.x && point.x <= rect.x + rect.width && point.y >= rect.y && point.y <= rect.y + rect.height;
