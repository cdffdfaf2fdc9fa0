// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { packetsFilter } from "../src/format/flow";
import { summary } from "../src/packets/heads";
import { CaptureReader } from "../src/packets/pcapng";
import { captureCommand, captureParams, DEFAULT_PACKETS, packetsOfFlow, parsePackets, writePackets } from "../src/state/packets";

const hex = (text: string): Uint8Array => Uint8Array.from(text.replaceAll(/\s/g, "").match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
const view = (text: string): DataView => new DataView(hex(text).buffer);

const ETHERNET = "0200000000010200000000020800";
const IPV4_TCP = "450000280000400040060000 0a000001 0a000002";
const SYN_ACK = "1538 9c40 00000001 00000002 5012 ffff 0000 0000";

describe("the head of a packet", () => {
  it("is addresses with ports, protocol and flags", () => {
    expect(summary(view(ETHERNET + IPV4_TCP + SYN_ACK), 1)).toEqual({ addresses: "10.0.0.1:5432 → 10.0.0.2:40000", what: "TCP SYN ACK" });
    expect(summary(view(IPV4_TCP + SYN_ACK), 101).what).toBe("TCP SYN ACK");
    expect(summary(view(ETHERNET.slice(0, 24) + "81000005 0800" + IPV4_TCP + SYN_ACK), 1).what).toBe("TCP SYN ACK");
  });
  it("says less of what was cut or is something else", () => {
    expect(summary(view(ETHERNET + IPV4_TCP), 1)).toEqual({ addresses: "10.0.0.1 → 10.0.0.2", what: "TCP" });
    expect(summary(view(ETHERNET.slice(0, 24) + "0806"), 1).what).toBe("ARP");
    expect(summary(view(ETHERNET), 1)).toEqual({ addresses: "", what: "" });
    expect(summary(view(ETHERNET.slice(0, 24) + "88cc"), 1).what).toBe("ethertype 0x88cc");
  });
  it.each([
    ["fd000001000000000000000000000002", "fd00:1::2"],
    ["00000000000000000000000000000001", "::1"],
    ["fe800000000000000000000000000000", "fe80::"],
    ["20010db8000000010000000000000001", "2001:db8:0:1::1"],
  ])("writes %s as %s", (bytes, text) => {
    const six = "6000000000081140" + bytes + bytes + "0035 9c40 0008 0000";
    expect(summary(view(six), 101).addresses).toBe(`[${text}]:53 → [${text}]:40000`);
  });
});

/** A block with its two lengths. */
function block(kind: number, body: string): Uint8Array {
  const content = hex(body);
  const whole = new Uint8Array(12 + content.length);
  const head = new DataView(whole.buffer);
  head.setUint32(0, kind, true);
  head.setUint32(4, whole.length, true);
  whole.set(content, 8);
  head.setUint32(whole.length - 4, whole.length, true);
  return whole;
}

const text = (code: number, words: string): string => {
  const bytes = [...new TextEncoder().encode(words)];
  const padded = [...bytes, ...Array.from({ length: (4 - (bytes.length % 4)) % 4 }, () => 0)];
  return [code, 0, bytes.length, 0, ...padded].map((byte) => byte.toString(16).padStart(2, "0")).join("");
};

describe("a capture that comes in pieces", () => {
  const device = block(1, `01000000 60000000 ${text(2, "eth0")}${text(3, "node node-a")}00000000`);
  const head = `00000000 00000000 40420f00 36000000 dc050000 ${ETHERNET}${IPV4_TCP}${SYN_ACK}0000`;
  const packet = block(6, `${head}${text(1, "shop/db → shop/web")}02000400 02000000 00000000`);
  const file = new Uint8Array([...block(0x0a0d0d0a, "4d3c2b1a01000000ffffffffffffffff"), ...device, ...packet, ...packet]);

  it.each([1, 7, 1000])("is read whole, in pieces of %i bytes", (size) => {
    const reader = new CaptureReader();
    for (let at = 0; at < file.length; at += size) reader.take(file.slice(at, at + size));
    expect([reader.packets, reader.bytes]).toEqual([2, file.length]);
    expect(reader.first[0]).toEqual({
      key: 1, timeMs: 1, where: "node-a eth0 out", names: "shop/db → shop/web", addresses: "10.0.0.1:5432 → 10.0.0.2:40000", what: "TCP SYN ACK", bytes: 1500,
    }); // prettier-ignore
  });
});

describe("what is captured", () => {
  it("is in the address, and what is malformed counts as left out", () => {
    const given = { ...DEFAULT_PACKETS, filter: "port = 53", when: "past", length: "5m", node: "node-a", maxBytes: 1_000_000 } as const;
    expect(parsePackets(writePackets(given))).toEqual(given);
    expect(parsePackets("?when=range&length=99y&max=5&from=9&to=1")).toEqual(DEFAULT_PACKETS);
  });
  it("is asked of the API and of a terminal alike", () => {
    expect(captureParams({ ...DEFAULT_PACKETS, when: "past", length: "60s" })).toEqual({ filter: "", node: "", max_bytes: 10_000_000, past: "60s" });
    expect(captureCommand({ ...DEFAULT_PACKETS, filter: "port = 53", node: "b" })).toBe("flowgauge capture 'port = 53' --for 30s --node b -w packets.pcapng");
    const range = { ...DEFAULT_PACKETS, when: "range", from: 1_700_000_000_000, to: 1_700_000_121_000 } as const;
    expect(captureCommand(range)).toContain("--at 2023-11-14T22:14:20.500Z --past 61s");
  });
  it("of a flow is its connection in both directions, a minute to both sides, behind translation too", () => {
    const row = {
      src_addr: "10.0.0.1", dst_addr: "10.96.0.1", src_port: 40_000, dst_port: 80, proto: 6, post_nat_dst_addr: "10.0.0.2", post_nat_dst_port: 8080,
      time_end_ns: 1_700_000_000_000_000_000, duration_ns: 2_000_000_000,
    }; // prettier-ignore
    expect(packetsFilter(row)).toBe("proto = 6 and addr = 10.0.0.1 and (addr = 10.96.0.1 or addr = 10.0.0.2) and port = 40000 and (port = 80 or port = 8080)");
    const found = parsePackets(packetsOfFlow(row).replace("/packets", ""));
    expect([found.when, found.from, found.to]).toEqual(["range", 1_699_999_938_000, 1_700_000_060_000]);
    expect(packetsFilter({ src_addr: "fd00::1", dst_addr: "fd00::2", proto: 58 })).toBe("proto = 58 and addr = fd00::1 and addr = fd00::2");
  });
});
