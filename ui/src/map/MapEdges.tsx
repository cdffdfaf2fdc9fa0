// SPDX-License-Identifier: Apache-2.0
// The lines of the map and their labels.
import { memo } from "react";
import { Approx } from "../common/Approx";
import { edgeRate, healthOf } from "../format/edge";
import { portWords } from "../format/ports";
import { rate } from "../format/units";
import { type MapEdge, NODES } from "./graph";
import type { Label } from "./labels";
import { pathOf, type Route } from "./routes";

/** How an edge stands to what the pointer is on. */
export type Lit = "" | "lit" | "dim";

/** 1.5 to 6 pixels for 100 B/s to 100 MB/s, by the logarithm. */
export const strokeWidth = (bytesPerSecond: number): number => 1.5 + 4.5 * Math.min(1, Math.max(0, (Math.log10(Math.max(1, bytesPerSecond)) - 2) / 6));

interface LineProps {
  route: Route;
  edge: MapEdge;
  seconds: number;
  lit: Lit;
  fromNode: boolean;
  onEnter: (id: string, event: { clientX: number; clientY: number }) => void;
  onLeave: () => void;
  onOpen: (id: string) => void;
}

export const EdgeLine = memo(function EdgeLine({ route, edge, seconds, lit, fromNode, onEnter, onLeave, onOpen }: LineProps) {
  const path = pathOf(route.curves);
  const last = route.curves.at(-1)!;
  const [end, before] = [last[3], last[2]];
  const tip = end.y >= before.y ? -7 : 7;
  return (
    <g
      className={`fg-edge fg-edge-${healthOf(edge.data)} ${fromNode ? "fg-edge-node" : ""} ${lit ? `fg-${lit}` : ""}`}
      onPointerEnter={(event) => onEnter(edge.id, event)}
      onPointerMove={(event) => onEnter(edge.id, event)}
      onPointerLeave={onLeave}
      onClick={() => onOpen(edge.id)}
    >
      <path className="fg-edge-reach" d={path} />
      <path className="fg-edge-line" d={path} strokeWidth={strokeWidth(edgeRate(edge.data, seconds))} />
      <path className="fg-edge-tip" d={`M ${end.x} ${end.y} l -4.5 ${tip} h 9 z`} />
    </g>
  );
});

interface LabelProps {
  label: Label;
  edge: MapEdge;
  words: string;
  seconds: number;
  lit: Lit;
  onEnter: (id: string, event: { clientX: number; clientY: number }) => void;
  onLeave: () => void;
  onOpen: (id: string) => void;
}

export const EdgeLabel = memo(function EdgeLabel({ label, edge, words, seconds, lit, onEnter, onLeave, onOpen }: LabelProps) {
  const { data } = edge;
  const perSecond = rate(edgeRate(data, seconds));
  return (
    <button
      type="button"
      className={`fg-edge-label fg-edge-label-${healthOf(data)} ${lit ? `fg-${lit}` : ""}`}
      style={{ left: label.x, top: label.y, width: label.width, height: label.height }}
      aria-label={`${words}, ${portWords(data.dst_port, data.proto, data.asked_ports)}, ${data.approx ? "about " : ""}${perSecond}`}
      onPointerEnter={(event) => onEnter(edge.id, event)}
      onPointerLeave={onLeave}
      onFocus={(event) => onEnter(edge.id, middleOf(event.currentTarget))}
      onBlur={onLeave}
      onClick={() => onOpen(edge.id)}
    >
      <span className="fg-edge-chip">
        <b>
          <Approx text={perSecond} approx={data.approx} error={data.error} />
        </b>
        <span>{portWords(data.dst_port, data.proto, data.asked_ports)}</span>
      </span>
    </button>
  );
});

export function middleOf(element: Element): { clientX: number; clientY: number } {
  const box = element.getBoundingClientRect();
  return { clientX: box.left + box.width / 2, clientY: box.bottom };
}

/** Edges that begin at a node of the cluster are its own checks: they stand back. */
export const startsAtNode = (edge: MapEdge, boxes: ReadonlyMap<string, string>): boolean => boxes.get(edge.src) === NODES;
