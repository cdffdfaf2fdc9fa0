// SPDX-License-Identifier: Apache-2.0
// Reads a capture file while it comes (pcapng, little-endian, as the console writes it): counts packets, and shows the first ones.
import { summary } from "./heads";

/** One packet for the table. */
export interface Packet {
  key: number;
  timeMs: number;
  /** `node-a eth0 →`: where it was seen, and which way. */
  where: string;
  /** The names of both ends; empty where neither has one. */
  names: string;
  /** `10.0.0.1:5432 → 10.0.0.2:40000`. */
  addresses: string;
  /** `TCP SYN ACK`. */
  what: string;
  /** Of the whole packet, with its link header. */
  bytes: number;
}

interface Device {
  name: string;
  link: number;
}

/** More are in the file; a table of more is not read. */
export const SHOWN = 500;
const INTERFACE = 1;
const PACKET = 6;
const COMMENT = 1;
const NAME = 2;
const DESCRIPTION = 3;
const FLAGS = 2;
const words = new TextDecoder();

export class CaptureReader {
  packets = 0;
  bytes = 0;
  readonly first: Packet[] = [];
  private waiting = new Uint8Array(0);
  private readonly devices: Device[] = [];

  /** Takes the next piece, of whatever length. */
  take(piece: Uint8Array): void {
    this.bytes += piece.length;
    const all = new Uint8Array(this.waiting.length + piece.length);
    all.set(this.waiting);
    all.set(piece, this.waiting.length);
    const view = new DataView(all.buffer);
    let at = 0;
    while (all.length - at >= 12) {
      const length = view.getUint32(at + 4, true);
      if (length < 12 || all.length - at < length) break;
      this.block(view.getUint32(at, true), new DataView(all.buffer, at + 8, length - 12));
      at += length;
    }
    this.waiting = all.slice(at);
  }

  private block(kind: number, body: DataView): void {
    if (kind === INTERFACE) this.devices.push(device(body));
    if (kind !== PACKET) return;
    this.packets += 1;
    if (this.first.length < SHOWN) this.first.push(this.packet(body));
  }

  private packet(body: DataView): Packet {
    const kept = body.getUint32(12, true);
    const device = this.devices[body.getUint32(0, true)];
    const options = optionsOf(body, 20 + kept + ((4 - (kept % 4)) % 4));
    const flags = options.get(FLAGS)?.getUint32(0, true) ?? 0;
    const head = summary(new DataView(body.buffer, body.byteOffset + 20, kept), device?.link ?? 1);
    const timeNs = (BigInt(body.getUint32(4, true)) << 32n) | BigInt(body.getUint32(8, true));
    return {
      key: this.packets,
      timeMs: Number(timeNs / 1000n) / 1000,
      where: `${device?.name ?? "?"}${flags === 1 ? " in" : flags === 2 ? " out" : ""}`,
      names: text(options.get(COMMENT)),
      ...head,
      bytes: body.getUint32(16, true),
    };
  }
}

function device(body: DataView): Device {
  const options = optionsOf(body, 8);
  return { name: [text(options.get(DESCRIPTION)).replace(/^node /, ""), text(options.get(NAME))].filter(Boolean).join(" "), link: body.getUint16(0, true) };
}

function optionsOf(body: DataView, start: number): Map<number, DataView> {
  const found = new Map<number, DataView>();
  for (let at = start; at + 4 <= body.byteLength; ) {
    const [code, length] = [body.getUint16(at, true), body.getUint16(at + 2, true)];
    if (code === 0 || at + 4 + length > body.byteLength) break;
    found.set(code, new DataView(body.buffer, body.byteOffset + at + 4, length));
    at += 4 + length + ((4 - (length % 4)) % 4);
  }
  return found;
}

const text = (option: DataView | undefined): string => (option ? words.decode(option) : "");
