// SPDX-License-Identifier: Apache-2.0
// The map: workloads as cards in namespace boxes, edges from client to port. Own layout instead of a graph library: it is
// deterministic, keeps places between refreshes and costs 5 kB where react-topology costs 205 kB.
import { Button, Tooltip } from "@patternfly/react-core";
import ExpandIcon from "@patternfly/react-icons/dist/esm/icons/expand-arrows-alt-icon";
import MinusIcon from "@patternfly/react-icons/dist/esm/icons/minus-icon";
import PlusIcon from "@patternfly/react-icons/dist/esm/icons/plus-icon";
import { useCallback, useMemo, useRef, useState } from "react";
import type { Topology } from "../api/types";
import { nodeKey } from "../state/open";
import { EdgeTip } from "./EdgeTip";
import type { Graph } from "./graph";
import { useLayout } from "./layout";
import "./map.css";
import { MapBox, MapCard } from "./MapCards";
import { EdgeLabel, EdgeLine, type Lit, startsAtNode } from "./MapEdges";
import { aimOf, WIDE } from "./places";
import { drag, usePhone, useSize, useZoom } from "./useZoom";

interface Props {
  topology: Topology | undefined;
  /** What is asked: another question starts a new layout. */
  question: string;
  seconds: number;
  open: string;
  onOpen: (open: string) => void;
}

interface Hover {
  id: string;
  x: number;
  y: number;
}

export function TrafficMap({ topology, question, seconds, open, onOpen }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const size = useSize(frame);
  const phone = usePhone();
  const { graph, layout } = useLayout(topology, question, size.width, phone);
  const { places } = layout;
  const aim = useMemo(() => aimOf(layout.known, layout.places), [layout]);
  const zoom = useZoom(frame, size, places, aim, phone);
  const [hover, setHover] = useState<Hover>();
  const enterEdge = useCallback((id: string, at: { clientX: number; clientY: number }) => setHover({ id, x: at.clientX, y: at.clientY }), []);
  const enterNode = useCallback((id: string) => setHover({ id, x: 0, y: 0 }), []);
  const leave = useCallback(() => setHover(undefined), []);
  const openNode = useCallback((id: string) => onOpen(nodeKey(id)), [onOpen]);

  const nodes = useMemo(() => new Map(graph.nodes.map((node) => [node.id, node])), [graph]);
  const edges = useMemo(() => new Map(graph.edges.map((edge) => [edge.id, edge])), [graph]);
  const boxes = useMemo(() => new Map(graph.nodes.map((node) => [node.id, node.box])), [graph]);
  const lit = useMemo(() => (hover ? litBy(graph, hover.id) : (one: string): Lit => (one === open ? "lit" : "")), [graph, hover?.id, open]);
  const used = useMemo(() => new Set(boxes.values()), [boxes]);
  const title = (id: string) => nodes.get(id)?.title ?? id;
  const over = hover && edges.get(hover.id);
  return (
    <div className={`fg-map ${places.spacing === WIDE ? "" : "fg-map-narrow"}`}>
      <div className="fg-map-frame" ref={frame} onPointerDown={(event) => drag(event, frame.current)} role="group" aria-label="Map of who talks to whom; the conversations tab lists the same">
        <div className="fg-map-sheet" style={{ width: places.width * zoom.scale, height: places.height * zoom.scale }}>
          <div className="fg-map-scaled" style={{ width: places.width, height: places.height, transform: `scale(${zoom.scale})` }}>
            {places.boxes.filter((box) => used.has(box.id)).map((box) => <MapBox key={box.id} box={box} />)}
            <svg className="fg-edges" width={places.width} height={places.height} aria-hidden>
              {layout.routes.map((route) => {
                const edge = edges.get(route.edge.id);
                return edge && (
                  <EdgeLine key={edge.id} route={route} edge={edge} seconds={seconds} lit={lit(edge.id)} fromNode={startsAtNode(edge, boxes)}
                    onEnter={enterEdge} onLeave={leave} onOpen={onOpen} />
                );
              })}
            </svg>
            {layout.known.nodes.map((known) => {
              const node = nodes.get(known.id);
              const rect = places.cards.get(known.id);
              return node && rect && (
                <MapCard key={node.id} node={node} known={known} rect={rect} lit={lit(node.id)} selected={open === nodeKey(node.id)}
                  onEnter={enterNode} onLeave={leave} onOpen={openNode} />
              );
            })}
            {layout.labels.map((label) => {
              const edge = edges.get(label.id);
              return edge && (
                <EdgeLabel key={label.id} label={label} edge={edge} words={`${title(edge.src)} to ${title(edge.dst)}`} seconds={seconds}
                  lit={lit(edge.id)} onEnter={enterEdge} onLeave={leave} onOpen={onOpen} />
              );
            })}
          </div>
        </div>
      </div>
      <ZoomButtons fitted={zoom.fitted} zoom={zoom.zoom} fit={zoom.fit} />
      {over && <EdgeTip edge={over.data} src={title(over.src)} dst={title(over.dst)} seconds={seconds} x={hover.x} y={hover.y} />}
    </div>
  );
}

/** What is lit when the pointer is on a node or an edge: it and what it touches; all else is dimmed. */
export function litBy(graph: Graph, id: string): (one: string) => Lit {
  const near = new Set([id]);
  for (const edge of graph.edges) {
    if (edge.id === id || edge.src === id || edge.dst === id) [edge.id, edge.src, edge.dst].forEach((one) => near.add(one));
  }
  return (one) => (near.has(one) ? "lit" : "dim");
}

function ZoomButtons({ fitted, zoom, fit }: { fitted: boolean; zoom: (steps: number) => void; fit: () => void }) {
  return (
    <div className="fg-map-zoom">
      <Tooltip content="Larger">
        <Button variant="plain" size="sm" aria-label="Larger map" icon={<PlusIcon />} onClick={() => zoom(1)} />
      </Tooltip>
      <Tooltip content="Smaller">
        <Button variant="plain" size="sm" aria-label="Smaller map" icon={<MinusIcon />} onClick={() => zoom(-1)} />
      </Tooltip>
      <Tooltip content="Fit">
        <Button variant="plain" size="sm" aria-label="Fit the map" icon={<ExpandIcon />} isDisabled={fitted} onClick={fit} />
      </Tooltip>
    </div>
  );
}
