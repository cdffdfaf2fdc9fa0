// SPDX-License-Identifier: Apache-2.0
// Ports and protocols as people call them; the names are the ones that filters understand.
import { PORT_NAMES, PROTOCOL_NAMES } from "../api/columns.generated";

const TCP = 6;

/** `TCP` for 6; other numbers stay numbers. */
export function protocol(value: string | number | undefined | null): string {
  if (value === undefined || value === null || value === "") return "";
  const code = Number(value);
  return Number.isNaN(code) ? String(value).toUpperCase() : (PROTOCOL_NAMES[code] ?? `protocol ${code}`);
}

/** `postgresql`, or empty when the port has no name that people use. The second port of HTTP is HTTP all the same. */
export const portName = (port: number | null): string => (port === null ? "" : (PORT_NAMES[port] ?? "").replace(/-alt$/, ""));

/** As many of the ports that clients ask for are told. */
const ASKED_SHOWN = 2;

/** `443`, `80, 443`, `5 ports`. */
const askedText = (asked: readonly number[]): string => (asked.length <= ASKED_SHOWN ? asked.join(", ") : `${asked.length} ports`);

/** The name of the port that clients ask for; several have none. */
export const nameOfPorts = (port: number | null, asked: readonly number[]): string => (asked.length > 1 ? "" : portName(asked[0] ?? port));

/** `5432`, `53/UDP`, `443 → 8443` where clients ask for other ports than the server's, or the protocol's name where there are no ports. */
export function portText(port: number | null, proto: number, asked: readonly number[] = []): string {
  if (port === null) return protocol(proto);
  const number = asked.length === 0 ? String(port) : `${askedText(asked)} → ${port}`;
  return proto === TCP ? number : `${number}/${protocol(proto)}`;
}

/** `postgresql 5432`, `https 443 → 8443`, `ports 80, 443 → 8443`, `5 ports → 8443`, `port 9999`, `ICMP`. */
export function portWords(port: number | null, proto: number, asked: readonly number[] = []): string {
  if (port === null) return protocol(proto);
  const name = nameOfPorts(port, asked);
  if (name) return `${name} ${portText(port, TCP, asked)}`;
  if (asked.length > ASKED_SHOWN) return portText(port, proto, asked);
  return `${asked.length > 1 ? "ports" : "port"} ${portText(port, proto, asked)}`;
}
