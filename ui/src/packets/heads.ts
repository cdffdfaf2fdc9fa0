// SPDX-License-Identifier: Apache-2.0
// What the head of a packet says, for people: addresses with ports, protocol, TCP flags. Anything cut or unknown is said less of.
import { protocol } from "../format/ports";
import { tcpFlags } from "../format/flow";

export interface Head {
  addresses: string;
  what: string;
}

const RAW_IP = 101;
const VLANS = new Set([0x8100, 0x88a8]);
const ARP = 0x0806;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const TCP = 6;
const UDP = 17;
const NOTHING: Head = { addresses: "", what: "" };

export function summary(packet: DataView, link: number): Head {
  try {
    return link === RAW_IP ? ip(packet, 0, packet.getUint8(0) >> 4 === 6 ? IPV6 : IPV4) : ethernet(packet);
  } catch (error) {
    if (error instanceof RangeError) return NOTHING; // cut before it said more
    throw error;
  }
}

function ethernet(packet: DataView): Head {
  let at = 12;
  while (VLANS.has(packet.getUint16(at))) at += 4;
  return ip(packet, at + 2, packet.getUint16(at));
}

function ip(packet: DataView, at: number, type: number): Head {
  if (type === ARP) return { addresses: "", what: "ARP" };
  if (type === IPV4) {
    const [src, dst] = [ipv4(packet, at + 12), ipv4(packet, at + 16)];
    if (packet.getUint16(at + 6) & 0x1fff) return { addresses: `${src} → ${dst}`, what: `${protocol(packet.getUint8(at + 9))} fragment` };
    return transport(packet, at + (packet.getUint8(at) & 15) * 4, packet.getUint8(at + 9), src, dst);
  }
  if (type !== IPV6) return { addresses: "", what: `ethertype 0x${type.toString(16).padStart(4, "0")}` };
  return transport(packet, at + 40, packet.getUint8(at + 6), `[${ipv6(packet, at + 8)}]`, `[${ipv6(packet, at + 24)}]`);
}

function transport(packet: DataView, at: number, proto: number, src: string, dst: string): Head {
  const without: Head = { addresses: `${src} → ${dst}`, what: protocol(proto) };
  if ((proto !== TCP && proto !== UDP) || packet.byteLength < at + 4) return without;
  const addresses = `${src}:${packet.getUint16(at)} → ${dst}:${packet.getUint16(at + 2)}`;
  const flags = proto === TCP && packet.byteLength > at + 13 ? ` ${tcpFlags(packet.getUint8(at + 13))}` : "";
  return { addresses, what: without.what + flags };
}

const ipv4 = (packet: DataView, at: number): string => [0, 1, 2, 3].map((index) => packet.getUint8(at + index)).join(".");

/** RFC 5952: the longest run of zeros is left out. */
function ipv6(packet: DataView, at: number): string {
  const words = Array.from({ length: 8 }, (_, index) => packet.getUint16(at + 2 * index).toString(16)).join(":");
  const [longest] = (words.match(/(?:^|:)0(?::0)+(?::|$)/g) ?? []).toSorted((a, b) => b.length - a.length);
  return longest ? words.replace(longest, "::") : words;
}
