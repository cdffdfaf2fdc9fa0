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

/** `5432`, `53/UDP`, `443 → 8443` where clients ask for another port than the server's, or the protocol's name where there are no ports. */
export function portText(port: number | null, proto: number, asked: number | null = null): string {
  if (port === null) return protocol(proto);
  const number = asked === null ? String(port) : `${asked} → ${port}`;
  return proto === 6 ? number : `${number}/${protocol(proto)}`;
}

/** `postgresql 5432`, `https 443 → 8443`, `port 9999`, `ICMP`. */
export function portWords(port: number | null, proto: number, asked: number | null = null): string {
  if (port === null) return protocol(proto);
  const name = portName(asked ?? port);
  return name ? `${name} ${asked === null ? port : portText(port, TCP, asked)}` : `port ${portText(port, proto, asked)}`;
}
