// SPDX-License-Identifier: Apache-2.0
// The way of each edge: from the client's card, through the gaps between cards, to the server's port.
import type { Graph, MapEdge, MapNode } from "./graph";
import { CARD_HEIGHT, centre, type Places, type Rect } from "./places";

export interface Point {
  x: number;
  y: number;
}

/** A cubic Bézier curve: start, two controls, end. */
export type Curve = readonly [Point, Point, Point, Point];

export interface Route {
  edge: MapEdge;
  curves: Curve[];
}

export const PORT = { width: 62, height: 18, gap: 6 };
/** Ports shown on a card; the last place says how many more there are. */
const PORTS_SHOWN = 3;
/** Distance between two lines that leave a card or pass the same gap. */
const LANE = 14;
/** Distance of a line that passes a row beside its outermost card, and at least that of one from the sheet's side. */
const BESIDE = 24;
const INSIDE = 5;

export interface PlacedPort extends Rect {
  key: string;
  port: number | null;
  asked_ports: readonly number[];
  proto: number;
  /** For the last place: how many further ports it stands for. */
  more: number;
}

/** The ports of a card, on its upper border. */
export function portsOf(node: MapNode, card: Rect): PlacedPort[] {
  const ports = node.ports.toSorted((a, b) => a.port - b.port || a.proto - b.proto);
  const shown = ports.length > PORTS_SHOWN ? PORTS_SHOWN - 1 : ports.length;
  const places = ports.length > PORTS_SHOWN ? PORTS_SHOWN : shown;
  const start = centre(card) - (places * PORT.width + (places - 1) * PORT.gap) / 2;
  const rect = (i: number) => ({ x: start + i * (PORT.width + PORT.gap), y: card.y - PORT.height / 2, width: PORT.width, height: PORT.height });
  const placed = ports.slice(0, shown).map((port, i) => ({ ...rect(i), key: `${port.port}/${port.proto}`, port: port.port, asked_ports: port.asked_ports, proto: port.proto, more: 0 }));
  if (places === shown) return placed;
  return [...placed, { ...rect(shown), key: "more", port: null, asked_ports: [], proto: 0, more: ports.length - shown }];
}

/** Where an edge lands from above: its port, else the place of the further ones, else the middle of the card. */
function landing(node: MapNode, card: Rect, edge: MapEdge): Point {
  const ports = portsOf(node, card);
  const port = ports.find((one) => one.key === `${edge.data.dst_port}/${edge.data.proto}`) ?? ports.find((one) => one.more > 0);
  return port ? { x: centre(port), y: port.y } : { x: centre(card), y: card.y };
}

/** Routes for all edges, in the order of their ids. */
export function routesOf(graph: Graph, places: Places): Route[] {
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  const gaps = new Gaps(places);
  const leaving = leavingPoints(graph, nodes, places);
  return graph.edges
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
    .flatMap((edge) => {
      const [src, dst, node] = [places.cards.get(edge.src), places.cards.get(edge.dst), nodes.get(edge.dst)];
      if (!src || !dst || !node) return [];
      const end = landing(node, dst, edge);
      return [{ edge, curves: way(edge, src, dst, leaving.get(edge.id) ?? centre(src), end, gaps) }];
    });
}

function way(edge: MapEdge, src: Rect, dst: Rect, leave: number, end: Point, gaps: Gaps): Curve[] {
  if (edge.src === edge.dst) return [loop(src, end)];
  if (dst.y > src.y) return through(gaps.between({ x: leave, y: src.y + CARD_HEIGHT }, end));
  if (dst.y === src.y) return [arch({ x: leave, y: src.y }, end)];
  // A server above its client: the line comes from below.
  return through(gaps.between({ x: centre(dst), y: dst.y + CARD_HEIGHT }, { x: leave, y: src.y }).toReversed());
}

/** From the right side of a card to its own port. */
function loop(card: Rect, end: Point): Curve {
  const start = { x: card.x + card.width, y: card.y + card.height / 2 };
  return [start, { x: start.x + 44, y: start.y }, { x: end.x + 60, y: end.y - 56 }, end];
}

/** Over the heads of the cards between. */
function arch(start: Point, end: Point): Curve {
  const top = Math.min(start.y, end.y) - 64;
  return [start, { x: start.x, y: top }, { x: end.x, y: top }, end];
}

/** Curves through all points, upright at each. */
function through(points: readonly Point[]): Curve[] {
  return points.slice(1).map((end, i) => {
    const start = points[i] as Point;
    const bend = (end.y - start.y) / 2;
    return [start, { x: start.x, y: start.y + bend }, { x: end.x, y: end.y - bend }, end];
  });
}

/** The x at which each edge leaves its client: beside each other, in the order of where they go. */
function leavingPoints(graph: Graph, nodes: ReadonlyMap<string, MapNode>, places: Places): Map<string, number> {
  const leaving = new Map<string, number>();
  for (const node of graph.nodes) {
    const card = places.cards.get(node.id);
    if (!card) continue;
    const x = (edge: MapEdge) => {
      const [server, at] = [nodes.get(edge.dst), places.cards.get(edge.dst)];
      return server && at ? landing(server, at, edge).x : centre(card);
    };
    const own = graph.edges.filter((edge) => edge.src === node.id && edge.dst !== node.id).toSorted((a, b) => x(a) - x(b) || (a.id < b.id ? -1 : 1));
    const step = Math.min(3 * LANE, (card.width - 40) / Math.max(1, own.length - 1));
    own.forEach((edge, i) => leaving.set(edge.id, centre(card) + (i - (own.length - 1) / 2) * step));
  }
  return leaving;
}

/** The gaps between the cards of each row, and how many lines go through each already. */
class Gaps {
  private readonly rows: { top: number; middles: number[] }[];
  private readonly lines = new Map<string, number>();

  constructor(private readonly places: Places) {
    const cards = [...places.cards.values()];
    this.rows = places.rowTops.map((top) => ({ top, middles: middlesOf(cards.filter((card) => card.y === top).toSorted((a, b) => a.x - b.x)) }));
  }

  /** Points from `start` down to `end`: at each row between, where the gap nearest to the straight line begins and ends. */
  between(start: Point, end: Point): Point[] {
    const points = [start];
    for (const { top, middles } of this.rows) {
      if (top <= start.y || top + CARD_HEIGHT >= end.y) continue;
      const last = points.at(-1) as Point;
      const wish = last.x + ((end.x - last.x) * (top - last.y)) / Math.max(1, end.y - last.y);
      const gap = middles.reduce((best, one) => (Math.abs(one - wish) < Math.abs(best - wish) ? one : best), middles[0] ?? wish);
      const x = Math.max(INSIDE, Math.min(this.places.width - INSIDE, gap + this.lane(`${top} ${gap}`)));
      points.push({ x, y: top - PORT.height / 2 }, { x, y: top + CARD_HEIGHT });
    }
    return [...points, end];
  }

  /** 0, +8, −8, +16 …: a line of its own for each edge. */
  private lane(gap: string): number {
    const used = this.lines.get(gap) ?? 0;
    this.lines.set(gap, used + 1);
    return (used % 2 ? 1 : -1) * Math.ceil(used / 2) * (LANE / 2);
  }
}

/** Middles of the gaps beside and between cards. */
function middlesOf(row: readonly Rect[]): number[] {
  const first = row[0];
  const last = row.at(-1);
  if (!first || !last) return [];
  const between = row.slice(1).map((card, i) => ((row[i] as Rect).x + card.width + card.x) / 2);
  return [first.x - BESIDE, ...between, last.x + last.width + BESIDE];
}

/** The point of a curve at `t`, 0 to 1. */
export function at([a, b, c, d]: Curve, t: number): Point {
  const u = 1 - t;
  const mix = (p: number, q: number, r: number, s: number) => u * u * u * p + 3 * u * u * t * q + 3 * u * t * t * r + t * t * t * s;
  return { x: mix(a.x, b.x, c.x, d.x), y: mix(a.y, b.y, c.y, d.y) };
}

/** An SVG path. */
export function pathOf(curves: readonly Curve[]): string {
  const text = (point: Point) => `${point.x.toFixed(1)} ${point.y.toFixed(1)}`;
  return curves.map(([a, b, c, d], i) => `${i === 0 ? `M ${text(a)} ` : ""}C ${text(b)} ${text(c)} ${text(d)}`).join(" ");
}
