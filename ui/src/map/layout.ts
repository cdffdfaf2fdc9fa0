// SPDX-License-Identifier: Apache-2.0
// The whole layout of the map, kept between refreshes: what has a place stays there until another question is asked.
import { useMemo, useRef } from "react";
import type { Topology } from "../api/types";
import { portWords } from "../format/ports";
import { type Graph, graphOf, shapeOf, united } from "./graph";
import { type Label, labelsOf, textWidth } from "./labels";
import { NARROW, PHONE, type Places, placesOf, type Spacing, WIDE } from "./places";
import { type Route, routesOf } from "./routes";

export interface Layout {
  /** Everything that has a place, also what is quiet now. */
  known: Graph;
  places: Places;
  routes: Route[];
  labels: Label[];
}

/** A rate never needs more room than this. */
const WIDEST_RATE = "888.8 kB/s";
const WIDEST_APPROX = `≈ ${WIDEST_RATE}`;

/** Wide enough for any rate, so that a label keeps its place while its number changes. */
export function labelWidth({ edge }: Pick<Route, "edge">): number {
  return Math.max(textWidth(edge.data.approx ? WIDEST_APPROX : WIDEST_RATE, 12), textWidth(portWords(edge.data.dst_port, edge.data.proto, edge.data.asked_ports), 11)) + 20;
}

/** A layout of `graph`; what `before` placed keeps its rank and order. */
export function layoutOf(graph: Graph, before?: Layout, spacing: Spacing = WIDE): Layout {
  const places = placesOf(graph, before?.places, spacing);
  const routes = routesOf(graph, places);
  return { known: graph, places, routes, labels: labelsOf(bySize(routes), graph.nodes, places, labelWidth) };
}

/** Larger edges choose first; within a power of four the id decides, so that the choice is not restless. */
function bySize(routes: readonly Route[]): Route[] {
  const size = (route: Route) => Math.floor(Math.log2(Math.max(1, route.edge.data.bytes)) / 2);
  return routes.toSorted((a, b) => size(b) - size(a) || (a.edge.id < b.edge.id ? -1 : 1));
}

/** Below this scale the wide layout is hard to read in its frame. */
const READABLE = 0.92;

interface Kept {
  question: string;
  shape: string;
  layout: Layout;
  /** Width of the wide layout. */
  wide: number;
}

/** The graph of now, and the layout of all that was seen since `question` was first asked, for a frame so wide, or a phone. */
export function useLayout(topology: Topology | undefined, question: string, frameWidth: number, phone: boolean): { graph: Graph; layout: Layout } {
  const kept = useRef<Kept>();
  const graph = useMemo(() => graphOf(topology), [topology]);
  const layout = useMemo(() => {
    const before = kept.current?.question === question ? kept.current : undefined;
    const known = before ? united(before.layout.known, graph) : graph;
    const shape = shapeOf(known);
    const wide = before?.shape === shape ? before.wide : placesOf(known, before?.layout.places).width;
    const spacing = phone ? PHONE : frameWidth < wide * READABLE ? NARROW : WIDE;
    if (before?.shape === shape && before.layout.places.spacing === spacing) return before.layout;
    const layout = layoutOf(known, before?.layout, spacing);
    kept.current = { question, shape, layout, wide };
    return layout;
  }, [graph, question, frameWidth, phone]);
  return { graph, layout };
}
