// SPDX-License-Identifier: Apache-2.0
// Which cards stand together and in which row: a cell is the cards of one box at one rank; a wide map takes several shelves.
import type { Graph, MapNode } from "./graph";
import { byId, onTop } from "./order";

/** How much stands side by side before another row begins. */
export interface Breadth {
  /** Cards in a row of a box, and of a box above all namespaces. */
  perRow: number;
  perTopRow: number;
  /** Pixels of boxes beside each other; a wider map is broken into shelves. */
  widestShelf: number;
  /** Width of a broken map by its height, about; 0: each shelf takes as much as has room. */
  aspect: number;
}

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

export const perRow = (box: string, limit: Breadth): number => (onTop(box) ? limit.perTopRow : limit.perRow);

/** Cards in the widest row of a cell. */
export const breadthOf = (cell: Cell, limit: Breadth): number => Math.min(cell.nodes.length, perRow(cell.box, limit));

const rowCount = (cells: readonly Cell[], limit: Breadth): number => Math.max(0, ...cells.map((cell) => Math.ceil(cell.nodes.length / perRow(cell.box, limit))));

export interface Rows {
  /** The first row of a cell: a cell with many cards takes several rows. */
  first: (cell: Cell) => number;
  count: number;
}

/** Rows for all cells: shelf by shelf, in each rank by rank. */
export function rowsOf(cells: readonly Cell[], shelves: readonly (readonly string[])[], limit: Breadth): Rows {
  const shelfOf = new Map(shelves.flatMap((boxes, shelf) => boxes.map((box): [string, number] => [box, shelf])));
  const place = (cell: Cell) => ({ shelf: shelfOf.get(cell.box) ?? -1, rank: cell.rank });
  const key = (cell: Cell) => `${place(cell).shelf} ${cell.rank}`;
  const sorted = cells.toSorted((a, b) => place(a).shelf - place(b).shelf || a.rank - b.rank);
  const first = new Map<string, number>();
  let count = 0;
  for (const cell of sorted) {
    if (first.has(key(cell))) continue;
    first.set(key(cell), count);
    count += rowCount(sorted.filter((one) => key(one) === key(cell)), limit);
  }
  return { first: (cell) => first.get(key(cell)) ?? 0, count };
}

/** The boxes of `order`, cut into shelves; `width` is a box's, `rowHeight` that of a row with the gap below it. */
export function shelvesOf(order: readonly string[], cells: readonly Cell[], width: (box: string) => number, rowHeight: number, limit: Breadth): string[][] {
  const total = order.reduce((sum, box) => sum + width(box), 0);
  if (total <= limit.widestShelf) return order.length > 0 ? [[...order]] : [];
  if (limit.aspect === 0) return cut(order, width, (used, next) => used + next > limit.widestShelf);
  const height = rowsOf(cells, [order], limit).count * rowHeight;
  const wanted = total / Math.max(1, Math.round(Math.sqrt(total / (limit.aspect * height))));
  return cut(order, width, (used, next) => used + next / 2 > wanted);
}

function cut(order: readonly string[], width: (box: string) => number, full: (used: number, next: number) => boolean): string[][] {
  const shelves: string[][] = [[]];
  let used = 0;
  for (const box of order) {
    if (used > 0 && full(used, width(box))) {
      shelves.push([]);
      used = 0;
    }
    shelves.at(-1)?.push(box);
    used += width(box);
  }
  return shelves;
}
