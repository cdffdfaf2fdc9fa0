// SPDX-License-Identifier: Apache-2.0
// The cards of the map with their ports, and the boxes around them.
import ClusterIcon from "@patternfly/react-icons/dist/esm/icons/cluster-icon";
import CubeIcon from "@patternfly/react-icons/dist/esm/icons/cube-icon";
import GlobeIcon from "@patternfly/react-icons/dist/esm/icons/globe-icon";
import ServerIcon from "@patternfly/react-icons/dist/esm/icons/server-icon";
import { memo } from "react";
import { portText, portWords } from "../format/ports";
import { type MapNode, NODES, OUTSIDE } from "./graph";
import type { Lit } from "./MapEdges";
import type { PlacedBox, Rect } from "./places";
import { type PlacedPort, portsOf } from "./routes";

const iconOf = (node: MapNode) => (node.box === OUTSIDE ? GlobeIcon : node.box === NODES ? ServerIcon : node.layer === "infra" ? ClusterIcon : CubeIcon);

interface Props {
  node: MapNode;
  /** The node with all ports that have a place. */
  known: MapNode;
  rect: Rect;
  lit: Lit;
  selected: boolean;
  onEnter: (id: string) => void;
  onLeave: () => void;
  onOpen: (id: string) => void;
}

export const MapCard = memo(function MapCard({ node, known, rect, lit, selected, onEnter, onLeave, onOpen }: Props) {
  const Icon = iconOf(node);
  const ports = portsOf(known, rect).filter((port) => port.more || node.ports.some((one) => one.port === port.port && one.proto === port.proto));
  const where = node.box === OUTSIDE || node.box === NODES ? "" : ` in ${node.box}`;
  return (
    <>
      <button
        type="button"
        className={`fg-card ${node.box === OUTSIDE ? "fg-card-outside" : ""} ${selected ? "fg-card-selected" : ""} ${lit ? `fg-${lit}` : ""}`}
        style={{ left: rect.x, top: rect.y, width: rect.width, height: rect.height }}
        aria-label={`${node.title}, ${node.subtitle}${where}${portsSaid(node)}`}
        title={node.title}
        onPointerEnter={() => onEnter(node.id)}
        onPointerLeave={onLeave}
        onFocus={() => onEnter(node.id)}
        onBlur={onLeave}
        onClick={() => onOpen(node.id)}
      >
        <Icon className="fg-card-icon" aria-hidden />
        <span className="fg-card-text">
          <span className="fg-card-title">{node.title}</span>
          <span className="fg-card-kind">{node.subtitle}</span>
        </span>
      </button>
      {ports.map((port) => (
        <Port key={port.key} port={port} lit={lit} />
      ))}
    </>
  );
});

const portsSaid = (node: MapNode): string => (node.ports.length ? `, serves ${node.ports.map((one) => portWords(one.port, one.proto, one.asked_ports)).join(", ")}` : "");

function Port({ port, lit }: { port: PlacedPort; lit: Lit }) {
  const label = port.more ? `+${port.more}` : portText(port.port, port.proto);
  const style = { left: port.x, top: port.y, width: port.width, height: port.height };
  return (
    <span className={`fg-port ${lit === "dim" ? "fg-dim" : ""}`} style={style} title={port.more ? `${port.more} further ports` : portWords(port.port, port.proto, port.asked_ports)} aria-hidden>
      {label}
    </span>
  );
}

export function MapBox({ box }: { box: PlacedBox }) {
  const special = box.id === OUTSIDE || box.id === NODES;
  return (
    <div className={`fg-box ${special ? "fg-box-special" : ""}`} style={{ left: box.x, top: box.y, width: box.width, height: box.height }}>
      <span className="fg-box-title" title={special ? undefined : `namespace ${box.title}`}>
        {box.title}
      </span>
    </div>
  );
}
