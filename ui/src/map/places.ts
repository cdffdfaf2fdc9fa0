// SPDX-License-Identifier: Apache-2.0
// Where boxes and cards stand, in pixels. Namespaces are columns, ranks are rows; the outside and the nodes stand above.
import { type Breadth, breadthOf, type Cell, cellsOf, perRow, type Rows, rowsOf, shelvesOf } from "./cells";
import { isIll } from "../format/edge";
import { boxTitle, type Graph, type MapEdge } from "./graph";
import { boxOrder, byId, onTop, ranksOf } from "./order";
import type { Point } from "./routes";

export const CARD_HEIGHT = 46;
const BOX_PAD = { top: 28, bottom: 12 };
const MARGIN = 12;

/** In pixels: a card's width, between cards, between boxes, between a box's side and its cards. */
export interface Spacing extends Breadth {
  card: number;
  gap: number;
  boxGap: number;
  pad: number;
}

const BROAD: Breadth = { perRow: 3, perTopRow: 5, widestShelf: 2200, aspect: 2 };
export const WIDE: Spacing = { ...BROAD, card: 196, gap: 28, boxGap: 40, pad: 18 };
/** For a narrow frame: cards without an icon, closer together. */
export const NARROW: Spacing = { ...BROAD, card: 162, gap: 18, boxGap: 28, pad: 11 };
/** For a phone held upright: two cards side by side, as long downwards as it takes. */
export const PHONE: Spacing = { ...NARROW, gap: 14, boxGap: 20, perRow: 2, perTopRow: 2, widestShelf: 372, aspect: 0 };

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface PlacedBox extends Rect {
  id: string;
  title: string;
}

export interface Places {
  cards: Map<string, Rect>;
  /** Upper edge of each row of cards. */
  rowTops: number[];
  boxes: PlacedBox[];
  ranks: Map<string, number>;
  order: string[];
  spacing: Spacing;
  width: number;
  height: number;
}

export const centre = (rect: Rect): number => rect.x + rect.width / 2;

/** From one row to the next: there is room for an edge's label between a box's lower and the next one's upper border. */
const PITCH = CARD_HEIGHT + 82;
/** Each pass sorts the cards of a cell by where their neighbours stand after the pass before. */
const PASSES = 4;

/** Places for all; what `before` holds keeps its rank and its order. */
export function placesOf(graph: Graph, before?: Places, spacing: Spacing = WIDE): Places {
  const ranks = ranksOf(graph, before?.ranks);
  const order = boxOrder(graph, before?.order);
  const cells = cellsOf(graph, ranks);
  const boxWidth = (box: string) => rowWidth(Math.max(...cells.filter((cell) => cell.box === box).map((cell) => breadthOf(cell, spacing))), spacing) + 2 * spacing.pad;
  const tops = shelvesOf([...new Set(cells.map((cell) => cell.box))].filter(onTop), cells, boxWidth, PITCH, spacing);
  const shelves = shelvesOf(order, cells, boxWidth, PITCH, spacing);
  const rows = rowsOf(cells, [...tops, ...shelves], spacing);
  const neighbours = neighboursOf(graph);
  let cards = new Map<string, Rect>();
  for (let pass = 0; pass < PASSES; pass++) {
    const last = cards;
    const wish = (id: string) => before?.cards.get(id) ?? mean((neighbours.get(id) ?? []).flatMap((one) => last.get(one) ?? []));
    for (const cell of cells) sortByWish(cell, wish);
    cards = new Placing(cells, rows, neighbours, spacing, last).all(tops, shelves, boxWidth);
  }
  const rowTops = Array.from({ length: rows.count }, (_, row) => topOf(row));
  return finished({ cards, rowTops, ranks, order, spacing }, cells);
}

const topOf = (row: number): number => MARGIN + BOX_PAD.top + row * PITCH;

function sortByWish(cell: Cell, wish: (id: string) => Rect | undefined): void {
  const places = new Map(cell.nodes.map((node) => [node.id, wish(node.id)]));
  const x = (id: string) => {
    const rect = places.get(id);
    return rect ? centre(rect) : 0;
  };
  cell.nodes.sort((a, b) => x(a.id) - x(b.id) || byId(a, b));
}

function neighboursOf(graph: Graph): Map<string, string[]> {
  const all = new Map<string, string[]>();
  for (const { src, dst } of graph.edges) {
    if (src === dst) continue;
    all.set(src, [...(all.get(src) ?? []), dst]);
    all.set(dst, [...(all.get(dst) ?? []), src]);
  }
  return all;
}

/** What is seen first of a map larger than its frame: between the ends of what goes wrong, else of the largest edge. */
export function aimOf({ edges }: Graph, { cards, width }: Places): Point {
  const wrong = edges.filter((edge) => isIll(edge.data));
  const largest = edges.reduce<MapEdge | undefined>((best, one) => (best && best.data.bytes >= one.data.bytes ? best : one), undefined);
  const rects = (wrong.length > 0 ? wrong : largest ? [largest] : []).flatMap(({ src, dst }) => [cards.get(src), cards.get(dst)]).filter((rect) => rect !== undefined);
  const span = (of: (rect: Rect) => number) => (Math.min(...rects.map(of)) + Math.max(...rects.map(of))) / 2;
  return rects.length > 0 ? { x: span(centre), y: span((rect) => rect.y + rect.height / 2) } : { x: width / 2, y: 0 };
}

/** A place in the middle of all; undefined when there are none. */
function mean(rects: readonly Rect[]): Rect | undefined {
  return rects[0] && { ...rects[0], x: rects.reduce((sum, rect) => sum + centre(rect), 0) / rects.length - rects[0].width / 2 };
}

const rowWidth = (count: number, spacing: Spacing): number => count * spacing.card + (count - 1) * spacing.gap;

/** One pass of placing: every cell of a column in its middle, then the upper boxes above what they talk to. */
class Placing {
  private readonly cards = new Map<string, Rect>();

  constructor(
    private readonly cells: readonly Cell[],
    private readonly rows: Rows,
    private readonly neighbours: ReadonlyMap<string, string[]>,
    private readonly spacing: Spacing,
    private readonly last: ReadonlyMap<string, Rect>,
  ) {}

  all(tops: readonly (readonly string[])[], shelves: readonly (readonly string[])[], boxWidth: (box: string) => number): Map<string, Rect> {
    for (const boxes of shelves) this.putShelf(boxes, boxWidth);
    for (const boxes of tops) this.spacing.aspect === 0 ? this.putShelf(boxes, boxWidth) : this.putTops(boxes);
    return this.cards;
  }

  /** Boxes beside each other; where shelves are as wide as the frame, each in its middle. */
  private putShelf(boxes: readonly string[], boxWidth: (box: string) => number): void {
    const { boxGap, widestShelf, aspect } = this.spacing;
    const width = boxes.reduce((sum, box) => sum + boxWidth(box) + boxGap, -boxGap);
    let left = aspect === 0 ? MARGIN + (widestShelf - width) / 2 : MARGIN;
    for (const box of boxes) {
      for (const cell of this.cells.filter((one) => one.box === box)) this.put(cell, left + boxWidth(box) / 2);
      left += boxWidth(box) + boxGap;
    }
  }

  private putTops(boxes: readonly string[]): void {
    const wanted = this.cells.filter((cell) => boxes.includes(cell.box)).map((cell) => {
      const aims = cell.nodes.flatMap((node) => (this.neighbours.get(node.id) ?? []).flatMap((one) => this.cards.get(one) ?? this.last.get(one) ?? []));
      const aim = mean(aims);
      return { cell, width: rowWidth(breadthOf(cell, this.spacing), this.spacing) + 2 * this.spacing.pad, middle: aim ? centre(aim) : MARGIN };
    });
    const sorted = wanted.toSorted((a, b) => a.middle - b.middle || (a.cell.box < b.cell.box ? -1 : 1));
    let free = -Infinity;
    const middles = sorted.map(({ width, middle }) => {
      const start = Math.max(free, middle - width / 2);
      free = start + width + this.spacing.boxGap;
      return start + width / 2;
    });
    // Where they had to make room for each other, all give way alike.
    const shift = sorted.reduce((sum, one, i) => sum + (middles[i] as number) - one.middle, 0) / Math.max(1, sorted.length);
    const left = (middles[0] ?? 0) - (sorted[0]?.width ?? 0) / 2;
    const inside = this.within(left - shift, free - this.spacing.boxGap - left) - left;
    sorted.forEach(({ cell }, i) => this.put(cell, (middles[i] as number) + inside));
  }

  /** Where something of a width begins, next to where it wishes to, so that it makes the map no wider than it must. */
  private within(wish: number, width: number): number {
    const rects = [...this.cards.values()];
    if (rects.length === 0) return wish;
    const left = Math.min(...rects.map((rect) => rect.x)) - this.spacing.pad;
    const right = Math.max(...rects.map((rect) => rect.x + rect.width)) + this.spacing.pad;
    const ends = [left, right - width];
    return Math.max(Math.min(...ends), Math.min(Math.max(...ends), wish));
  }

  /** The rows of a cell, each in the middle of its column. */
  private put(cell: Cell, middle: number): void {
    const { card: width, gap } = this.spacing;
    const limit = perRow(cell.box, this.spacing);
    for (let i = 0; i < cell.nodes.length; i += limit) {
      const row = cell.nodes.slice(i, i + limit);
      const start = middle - rowWidth(row.length, this.spacing) / 2;
      const y = topOf(this.rows.first(cell) + i / limit);
      row.forEach((node, j) => this.cards.set(node.id, { x: start + j * (width + gap), y, width, height: CARD_HEIGHT }));
    }
  }
} // prettier-ignore

/** Boxes around their cards, and the whole moved so that it begins at the margin. */
function finished(places: Pick<Places, "cards" | "rowTops" | "ranks" | "order" | "spacing">, cells: readonly Cell[]): Places {
  const boxes = [...new Set(cells.map((cell) => cell.box))].map((box) => {
    const rects = cells.filter((cell) => cell.box === box).flatMap((cell) => cell.nodes.map((node) => places.cards.get(node.id)!));
    return around(box, rects, places.spacing.pad);
  });
  const shift = MARGIN - Math.min(...boxes.map((box) => box.x), Infinity);
  for (const rect of [...places.cards.values(), ...boxes]) rect.x += shift;
  const width = Math.max(0, ...boxes.map((box) => box.x + box.width)) + MARGIN;
  const height = Math.max(0, ...boxes.map((box) => box.y + box.height)) + MARGIN;
  return { ...places, boxes, width, height };
}

function around(box: string, rects: readonly Rect[], pad: number): PlacedBox {
  const left = Math.min(...rects.map((rect) => rect.x)) - pad;
  const top = Math.min(...rects.map((rect) => rect.y)) - BOX_PAD.top;
  const right = Math.max(...rects.map((rect) => rect.x + rect.width)) + pad;
  const bottom = Math.max(...rects.map((rect) => rect.y + rect.height)) + BOX_PAD.bottom;
  return { id: box, title: boxTitle(box), x: left, y: top, width: right - left, height: bottom - top };
}
