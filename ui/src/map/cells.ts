// SPDX-License-Identifier: Apache-2.0
// Which cards stand together and in which row: a cell is the cards of one box at one rank; a wide map takes several shelves.
import type { Graph, MapNode } from "./graph";
import { byId, onTop } from "./order";

/** Cards side by side in one box before another row begins. */
const PER_ROW = 3;
const PER_TOP_ROW = 5;

export interface Cell {
  box: string;
  rank: number;
  nodes: MapNode[];
}

export function cellsOf(graph: Graph, ranks: ReadonlyMap<string, number>): Cell[] {
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

export const perRow = (box: string): number => (onTop(box) ? PER_TOP_ROW : PER_ROW);

/** Cards in the widest row of a cell. */
export const breadth = (cell: Cell): number => Math.min(cell.nodes.length, perRow(cell.box));

const rowCount = (cells: readonly Cell[]): number => Math.max(0, ...cells.map((cell) => Math.ceil(cell.nodes.length / perRow(cell.box))));

export interface Rows {
  /** The first row of a cell: a cell with many cards takes several rows. */
  first: (cell: Cell) => number;
  count: number;
}

/** Rows for all cells: the upper boxes', then shelf by shelf, in each rank by rank. */
export function rowsOf(cells: readonly Cell[], shelves: readonly (readonly string[])[]): Rows {
  const shelfOf = new Map(shelves.flatMap((boxes, shelf) => boxes.map((box): [string, number] => [box, shelf])));
  const place = (cell: Cell) => ({ shelf: shelfOf.get(cell.box) ?? -1, rank: cell.rank });
  const key = (cell: Cell) => `${place(cell).shelf} ${cell.rank}`;
  const sorted = cells.toSorted((a, b) => place(a).shelf - place(b).shelf || a.rank - b.rank);
  const first = new Map<string, number>();
  let count = 0;
  for (const cell of sorted) {
    if (first.has(key(cell))) continue;
    first.set(key(cell), count);
    count += rowCount(sorted.filter((one) => key(one) === key(cell)));
  }
  return { first: (cell) => first.get(key(cell)) ?? 0, count };
}

/** A map wider than this many pixels is broken into shelves, so that it stays about twice as wide as high. */
const WIDEST_SHELF = 2200;
const ASPECT = 2;

/** The boxes of `order`, cut into shelves; `width` is a box's, `rowHeight` that of a row with the gap below it. */
export function shelvesOf(order: readonly string[], cells: readonly Cell[], width: (box: string) => number, rowHeight: number): string[][] {
  const total = order.reduce((sum, box) => sum + width(box), 0);
  if (total <= WIDEST_SHELF) return [[...order]];
  const height = rowsOf(cells, [order]).count * rowHeight;
  const wanted = total / Math.max(1, Math.round(Math.sqrt(total / (ASPECT * height))));
  const shelves: string[][] = [[]];
  let used = 0;
  for (const box of order) {
    if (used > 0 && used + width(box) / 2 > wanted) {
      shelves.push([]);
      used = 0;
    }
    shelves.at(-1)?.push(box);
    used += width(box);
  }
  return shelves;
}
