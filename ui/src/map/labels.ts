// SPDX-License-Identifier: Apache-2.0
// Where the labels of edges stand: on their own line, never on a card, a title or another label.
import { boxTitle, type MapNode } from "./graph";
import type { Places, Rect } from "./places";
import { at, type Point, portsOf, type Route } from "./routes";

export const LABEL_HEIGHT = 34;
/** Beyond this many, labels say less than the map without them; the numbers are there on hover. */
const LABELLED = 150;
/** Places along a curve, the middle first. */
const CANDIDATES = Array.from({ length: 21 }, (_, i) => 0.5 + (i % 2 ? 1 : -1) * Math.ceil(i / 2) * 0.04);
/** Pixels between two points at which a line is looked at. */
const SAMPLE_STEP = 12;
const MOST_SAMPLES = 16;
/** A label stands near one end of a long way: on one of its first or last curves. */
const CURVES_TRIED = 3;
const CLEAR = 4;
/** Between a line and a label that stands beside it. */
const BESIDE = 5;

export interface Label extends Rect {
  id: string;
}

/** Pixels that a text takes at `size`: a little more than the mean letter of the font, so that nothing is cut. */
export const textWidth = (text: string, size: number): number => text.length * size * 0.58;

/** Labels `width(route)` wide for the edges in the order given; an edge without room for one gets none. */
export function labelsOf(routes: readonly Route[], nodes: readonly MapNode[], places: Places, width: (route: Route) => number): Label[] {
  const taken = new Grid<Rect>((rect) => rect);
  for (const rect of obstacles(nodes, places)) taken.add(rect);
  const lines = new Grid<Sample>(({ x, y }) => ({ x, y, width: 0, height: 0 }));
  for (const route of routes) for (const { x, y } of samples(route)) lines.add({ x, y, id: route.edge.id });
  const labels: Label[] = [];
  for (const route of routes.slice(0, LABELLED)) {
    const rect = best(route, width(route), { taken, lines, sheet: places });
    if (!rect) continue;
    labels.push({ id: route.edge.id, ...rect });
    taken.add(rect);
  }
  return labels;
}

interface Around {
  taken: Grid<Rect>;
  lines: Grid<Sample>;
  sheet: { width: number; height: number };
}

interface Sample extends Point {
  id: string;
}

const CELL = 64;
/** More cells than a map has in either direction. */
const CELLS = 1 << 16;

/** Things by where they are, so that looking around one place does not mean looking at all of them. */
class Grid<T> {
  private readonly cells = new Map<number, T[]>();

  constructor(private readonly rectOf: (thing: T) => Rect) {}

  add(thing: T): void {
    this.visit(this.rectOf(thing), 0, (key) => {
      const cell = this.cells.get(key);
      if (cell) cell.push(thing);
      else this.cells.set(key, [thing]);
      return false;
    });
  }

  /** Whether `test` holds for a thing in the cells around `rect`; a thing larger than a cell is asked several times. */
  some(rect: Rect, test: (thing: T) => boolean): boolean {
    return this.visit(rect, CLEAR, (key) => this.cells.get(key)?.some(test) ?? false);
  }

  /** Calls `done` with the key of each cell until one says so. */
  private visit({ x, y, width, height }: Rect, clear: number, done: (key: number) => boolean): boolean {
    const right = Math.floor((x + width + clear) / CELL);
    const lower = Math.floor((y + height + clear) / CELL);
    for (let column = Math.floor((x - clear) / CELL); column <= right; column++) {
      for (let row = Math.floor((y - clear) / CELL); row <= lower; row++) if (done(column * CELLS + row)) return true;
    }
    return false;
  }
}

function obstacles(nodes: readonly MapNode[], places: Places): Rect[] {
  const titles = places.boxes.map((box) => ({ x: box.x + 10, y: box.y - 10, width: textWidth(boxTitle(box.id), 13) + 16, height: 20 }));
  const cards = nodes.flatMap((node) => {
    const card = places.cards.get(node.id);
    return card ? [card, ...portsOf(node, card)] : [];
  });
  return [...cards, ...titles];
}

function samples(route: Route): Point[] {
  return route.curves.flatMap((curve) => {
    const length = Math.abs(curve[3].x - curve[0].x) + Math.abs(curve[3].y - curve[0].y);
    const count = Math.min(MOST_SAMPLES, Math.max(2, Math.ceil(length / SAMPLE_STEP)));
    return Array.from({ length: count }, (_, i) => at(curve, (i + 0.5) / count));
  });
}

/** The free place that hides least of other lines, as near to the middle of a curve as may be; beside it if none is on it. */
function best(route: Route, width: number, around: Around): Rect | undefined {
  const [dx, dy] = [width / 2 + BESIDE, LABEL_HEIGHT / 2 + BESIDE];
  for (const aside of [{ x: 0, y: 0 }, { x: 0, y: -dy }, { x: 0, y: dy }, { x: dx, y: 0 }, { x: -dx, y: 0 }]) {
    const rect = bestAt(route, width, aside, around);
    if (rect) return rect;
  }
  return undefined;
}

function bestAt(route: Route, width: number, aside: Point, { taken, lines, sheet }: Around): Rect | undefined {
  let found: Rect | undefined;
  let least = Infinity;
  // The last curve first: there the line comes to its server.
  const curves = new Set([...route.curves.toReversed().slice(0, CURVES_TRIED), ...route.curves.slice(0, CURVES_TRIED)]);
  for (const curve of curves) {
    for (const t of CANDIDATES) {
      const middle = at(curve, t);
      const rect = { x: middle.x + aside.x - width / 2, y: middle.y + aside.y - LABEL_HEIGHT / 2, width, height: LABEL_HEIGHT };
      if (rect.x < 0 || rect.y < 0 || rect.x + width > sheet.width || rect.y + LABEL_HEIGHT > sheet.height || taken.some(rect, (one) => overlap(one, rect, CLEAR))) continue;
      let hidden = 0;
      if (lines.some(rect, (point) => point.id !== route.edge.id && inside(point, rect) && ++hidden >= least)) continue;
      [found, least] = [rect, hidden];
      if (hidden === 0) return found;
    }
  }
  return found;
}

export function overlap(a: Rect, b: Rect, clear = 0): boolean {
  return a.x < b.x + b.width + clear && b.x < a.x + a.width + clear && a.y < b.y + b.height + clear && b.y < a.y + a.height + clear;
}

const inside = (point: Point, rect: Rect): boolean => point.x >= rect.x && point.x <= rect.x + rect.width && point.y >= rect.y && point.y <= rect.y + rect.height;
