// SPDX-License-Identifier: Apache-2.0
// Where boxes and cards stand, in pixels. Namespaces are columns, ranks are rows; the outside and the nodes stand above.
import { boxTitle, type Graph, type MapNode } from "./graph";
import { boxOrder, byId, onTop, ranksOf } from "./order";

export const CARD = { width: 196, height: 48 };
/** Between rows: room for an edge's label between a box's lower and the next one's upper border. */
export const ROW_GAP = 96;
const CARD_GAP = 28;
const BOX_GAP = 40;
export const BOX_PAD = { x: 18, top: 32, bottom: 16 };
const MARGIN = 16;
/** Cards side by side in one box before another row begins. */
const PER_ROW = 3;
const PER_TOP_ROW = 5;

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
  width: number;
  height: number;
}

export const centre = (rect: Rect): number => rect.x + rect.width / 2;

/** Places for all; what `before` holds keeps its rank and its order. */
export function placesOf(graph: Graph, before?: Places): Places {
  const ranks = ranksOf(graph, before?.ranks);
  const order = boxOrder(graph, before?.order);
  const cells = cellsOf(graph, ranks);
  const grid = gridOf(cells);
  const neighbours = neighboursOf(graph);
  let cards = new Map<string, Rect>();
  // Each pass sorts the cards of a cell by where their neighbours stand after the pass before.
  for (let pass = 0; pass < 4; pass++) {
    const last = cards;
    const wish = (id: string) => (before?.cards.has(id) ? centre(before.cards.get(id)!) : mean((neighbours.get(id) ?? []).flatMap((one) => last.get(one) ?? [])));
    for (const cell of cells) cell.nodes.sort((a, b) => (wish(a.id) ?? 0) - (wish(b.id) ?? 0) || byId(a, b));
    cards = placed(cells, order, grid, last, neighbours);
  }
  return finished({ cards, rowTops: grid.rowTops, ranks, order }, cells);
}

interface Cell {
  box: string;
  rank: number;
  nodes: MapNode[];
}

function cellsOf(graph: Graph, ranks: ReadonlyMap<string, number>): Cell[] {
  const cells = new Map<string, Cell>();
  for (const node of graph.nodes.toSorted(byId)) {
    const rank = ranks.get(node.id) ?? 0;
    const key = `${node.box}\n${rank}`;
    const cell = cells.get(key) ?? { box: node.box, rank, nodes: [] };
    cell.nodes.push(node);
    cells.set(key, cell);
  }
  return [...cells.values()];
}

const perRow = (box: string): number => (onTop(box) ? PER_TOP_ROW : PER_ROW);

interface Grid {
  /** The first row of each rank: one with many cards takes several rows, so that the map grows in both directions. */
  first: Map<number, number>;
  rowTops: number[];
}

const rowCount = (cell: Cell): number => Math.ceil(cell.nodes.length / perRow(cell.box));

function gridOf(cells: readonly Cell[]): Grid {
  const first = new Map<number, number>();
  let next = 0;
  for (const rank of [...new Set(cells.map((cell) => cell.rank))].toSorted((a, b) => a - b)) {
    first.set(rank, next);
    next += Math.max(...cells.filter((cell) => cell.rank === rank).map(rowCount));
  }
  return { first, rowTops: Array.from({ length: next }, (_, row) => MARGIN + BOX_PAD.top + row * (CARD.height + ROW_GAP)) };
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

function mean(rects: readonly Rect[]): number | undefined {
  return rects.length ? rects.reduce((sum, rect) => sum + centre(rect), 0) / rects.length : undefined;
}

const rowWidth = (count: number): number => count * CARD.width + (count - 1) * CARD_GAP;

/** Puts every cell of a column in the middle of its column, then the upper boxes above what they talk to. */
function placed(cells: readonly Cell[], order: readonly string[], grid: Grid, last: ReadonlyMap<string, Rect>, neighbours: ReadonlyMap<string, string[]>): Map<string, Rect> {
  const cards = new Map<string, Rect>();
  let left = MARGIN;
  for (const box of order) {
    const own = cells.filter((cell) => cell.box === box);
    const width = Math.max(...own.map((cell) => rowWidth(Math.min(cell.nodes.length, PER_ROW)))) + 2 * BOX_PAD.x;
    for (const cell of own) putRows(cards, cell, left + width / 2, grid);
    left += width + BOX_GAP;
  }
  const tops = cells.filter((cell) => onTop(cell.box));
  const wanted = tops.map((cell) => {
    const aims = cell.nodes.flatMap((node) => (neighbours.get(node.id) ?? []).flatMap((one) => cards.get(one) ?? last.get(one) ?? []));
    const width = rowWidth(Math.min(cell.nodes.length, PER_TOP_ROW)) + 2 * BOX_PAD.x;
    return { cell, width, middle: mean(aims) ?? left / 2 };
  });
  let free = MARGIN;
  for (const { cell, width, middle } of wanted.toSorted((a, b) => a.middle - b.middle || (a.cell.box < b.cell.box ? -1 : 1))) {
    const start = Math.max(free, middle - width / 2);
    putRows(cards, cell, start + width / 2, grid);
    free = start + width + BOX_GAP;
  }
  return cards;
}

/** The rows of a cell, each in the middle of its column. */
function putRows(cards: Map<string, Rect>, cell: Cell, middle: number, grid: Grid): void {
  const limit = perRow(cell.box);
  const first = grid.first.get(cell.rank) ?? 0;
  for (let i = 0; i < cell.nodes.length; i += limit) {
    const row = cell.nodes.slice(i, i + limit);
    const start = middle - rowWidth(row.length) / 2;
    row.forEach((node, j) => cards.set(node.id, { ...CARD, x: start + j * (CARD.width + CARD_GAP), y: grid.rowTops[first + i / limit] ?? 0 }));
  }
}

/** Boxes around their cards, and the whole moved so that it begins at the margin. */
function finished(places: Pick<Places, "cards" | "rowTops" | "ranks" | "order">, cells: readonly Cell[]): Places {
  const boxes = [...new Set(cells.map((cell) => cell.box))].map((box) => {
    const rects = cells.filter((cell) => cell.box === box).flatMap((cell) => cell.nodes.map((node) => places.cards.get(node.id)!));
    return around(box, rects);
  });
  const shift = MARGIN - Math.min(MARGIN, ...boxes.map((box) => box.x));
  for (const rect of [...places.cards.values(), ...boxes]) rect.x += shift;
  const width = Math.max(0, ...boxes.map((box) => box.x + box.width)) + MARGIN;
  const height = Math.max(0, ...boxes.map((box) => box.y + box.height)) + MARGIN;
  return { ...places, boxes, width, height };
}

function around(box: string, rects: readonly Rect[]): PlacedBox {
  const left = Math.min(...rects.map((rect) => rect.x)) - BOX_PAD.x;
  const top = Math.min(...rects.map((rect) => rect.y)) - BOX_PAD.top;
  const right = Math.max(...rects.map((rect) => rect.x + rect.width)) + BOX_PAD.x;
  const bottom = Math.max(...rects.map((rect) => rect.y + rect.height)) + BOX_PAD.bottom;
  return { id: box, title: boxTitle(box), x: left, y: top, width: right - left, height: bottom - top };
}
