# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - a program that prints
"""Mutated sFlow as our decoder and as tshark's dissector read it, for FUZZ_SECONDS (default 60): sample by sample the same.

Golden captures, random packets and what ``flow_mutations`` invents are changed (words, lengths, counts, cut, repeated). Samples
are found in the datagrams by their lengths; of each that tshark found at the same place the fixed part, the counters, and what
the records say of the packet must be the same. tshark goes from record to record by what it
reads, not by their lengths: of a sample whose records it did not find where they are only the fixed part is compared, and so it
is where we named something as malformed.
What differs for a reason is in ``KNOWN``; anything else is written to ``reports/fuzz`` and ends the run with status 1.
"""

from __future__ import annotations

import random
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import sflow_trees
from captures_of import Sent
from offered import SAMPLE_BYTES
from sflow_packets import MAX_LABELS, VLAN_IDS
from sflow_samples import Ours, by_us
from sflow_trees import DISCARDED, EXPANDED_FLOW, Place, by_tshark
from tshark import Compared, Difference, Known, Pairs, flat, until_differs

import flow_mutations
from capture_kit import reading
from sflow_random import device_payloads, sflow_payloads
from wire_mutations import MAX_BYTES

TESTS = Path(__file__).parents[1] / "tests"
DATAGRAMS = 600
"""Of a batch."""
WELL_FORMED = 300
"""Random datagrams of each kind that are changed too."""
INVENTED_SHARE = 0.2

COLUMNS: Mapping[str, Any] = {
    **dict.fromkeys(("src_addr", "dst_addr", "src_mac", "dst_mac", "next_hop", "bgp_next_hop"), ""),
    **dict.fromkeys(("src_port", "dst_port", "proto", "tcp_flags", "ip_ttl_min", "ether_type", "vlan_id"), 0),
    **dict.fromkeys(("dot1q_customer_vlan_id", "src_mask", "dst_mask", "src_as", "dst_as", "in_if", "out_if"), 0),
    **dict.fromkeys(("ip_tos", "icmp_type", "icmp_code"), -1), **dict.fromkeys(("post_nat_src_addr", "post_nat_dst_addr"), ""),
    "mpls_labels": [],
}  # fmt: skip
"""Compared even where one of the two has none: what each is then."""
READ = (1, 7, 11, 12, 13)
"""Header protocols that we read: Ethernet, PPP, IPv4, IPv6, MPLS."""
TRANSPORT = frozenset({"src_port", "dst_port", "tcp_flags", "icmp_type", "icmp_code"})
HEADER_BYTES = {"6": 20, "132": 12}
"""Of transport protocols, by number; the others' have 8."""
TAGS = (0x8100, 0x88A8, 0x9100, 0x9200)
EXTENSIONS = frozenset({0, 43, 44, 51, 60, 135, 139, 140})
STATUS = {"down": 0, "admin_up": 1, "oper_up": 2, "up": 3}


def _number(one: Difference, name: str) -> int:
    """A field of the record, -1 without it."""
    return int(one.record[name][0], 0) if name in one.record else -1


def _frame(one: Difference) -> int:
    return _number(one, "sflow_245.header.frame_length")


def _captured(one: Difference) -> int:
    return _number(one, "sflow_245.header.sampled_header_length")


def _link(one: Difference) -> int:
    """Bytes before the IP packet, at least."""
    before = {"eth.type": 14, **dict.fromkeys(VLAN_IDS, 4), "mpls.label": 4, "llc.dsap": 8, "pppoe.code": 8}
    return sum(size * len(one.record.get(name, ())) for name, size in before.items())


def _in_packet(one: Difference) -> bool:
    return one.what in (*COLUMNS, "bytes") and _captured(one) >= 0


def _of_other_version(one: Difference) -> bool:
    """The head should be of one version of IP and is of the other."""
    protocol = _number(one, "sflow_245.header_protocol")
    return (protocol == 11 and "ipv6.version" in one.record) or (protocol == 12 and "ip.hdr_len" in one.record)


def _cut_transport(one: Difference) -> bool:
    """Of a transport header of which only the beginning is there, tshark shows little; we what is there."""
    if one.what not in TRANSPORT or one.theirs != COLUMNS[one.what]:
        return False
    v6 = "ipv6.plen" in one.record
    size, told = (40, _number(one, "ipv6.plen") + 40) if v6 else (_number(one, "ip.hdr_len"), _number(one, "ip.len"))
    wanted = max(
        (HEADER_BYTES.get(proto, 8) for name in ("ip.proto", "ipv6.nxt") for proto in one.record.get(name, ())), default=0
    )
    return min(told, _captured(one) - _link(one)) - size < wanted


def _padding(one: Difference) -> bool:
    """Bytes that fill a head up to four are captured ones for tshark: it reads more than we."""
    absent = one.ours == COLUMNS.get(one.what) or (one.what == "mpls_labels" and len(one.ours or ()) < len(one.theirs))
    return _captured(one) % 4 != 0 and absent


def _top_bit(one: Difference) -> bool:
    """Of the format of an outgoing interface, which tshark leaves out."""
    return one.what == "out_format" and one.ours is not None and one.ours ^ one.theirs == 1 << 31


def _huge_count(one: Difference) -> bool:
    """Of segments or labels: tshark's arithmetic comes out at none."""
    counts = [int(value) for name, values in one.record.items() if name.endswith("entries") for value in values]
    return one.what.startswith("malformed") and max(counts, default=0) >= 1 << 30


def _tunnel(one: Difference) -> bool:
    """Of the records of tunnels tshark knows only the length."""
    return one.what in {f"malformed {tag}" for tag in (1023, 1024, 1025, 1026, 1029, 1030)}


KNOWN: Known = (
    ("a record of a tunnel, which tshark does not read", _tunnel),
    ("a count that overflows", _huge_count),
    ("an address of an unknown type: tshark takes it for none", lambda one: "sflow.invalid_address_type" in one.record),
    ("more labels than we read", lambda one: len(one.record.get("mpls.label", ())) > MAX_LABELS),
    ("the first bit of an interface's format", _top_bit),
    ("a header protocol that we do not read", lambda one: _number(one, "sflow_245.header_protocol") not in (-1, *READ)),
    ("a header protocol of the other IP version: tshark goes by the packet", _of_other_version),
    ("a transport header that was cut: tshark wants it whole", _cut_transport),
    ("an Ethernet header that was cut: tshark wants it whole", lambda one: one.what == "dst_mac" and 6 <= _captured(one) < 14),
    ("padding behind a head", _padding),
    ("a tag behind which there is no type", lambda one: one.what == "ether_type" and one.ours == 0 and one.theirs in TAGS),
    ("a frame shorter than its own head: tshark cuts the head", lambda one: _in_packet(one) and _frame(one) < _captured(one)),
    (
        "bytes that the frame has no room for",
        lambda one: one.what == "bytes" and not 0 < one.theirs <= _frame(one) - _link(one),
    ),
    ("bytes of a packet without a length", lambda one: one.what == "bytes" and one.theirs == _frame(one) - _link(one)),
    ("an IPv4 length below its header's: tshark reads no further", lambda one: "ip.bogus_ip_length" in one.record),
    ("a PPPoE length that is not the packet's: tshark believes it", lambda one: "pppoe.payload_length.bad" in one.record),
    ("an IPv6 payload of no length: tshark reads no further", lambda one: _number(one, "ipv6.plen") == 0),
    ("behind an IPv6 extension header that was cut", lambda one: one.what == "proto" and one.ours in EXTENSIONS),
    ("a TCP header of no length", lambda one: one.what == "tcp_flags" and 0 <= _number(one, "tcp.hdr_len") < 20),
    ("a protocol above 255", lambda one: one.what == "proto" and one.theirs > 255),
)


def golden() -> list[bytes]:
    """The sFlow datagrams of the golden captures."""
    found = []
    for path in sorted(TESTS.glob("golden/*/*sflow*/*.pcap")):
        exports, _, _ = reading(path.read_bytes())
        found += [bytes(one.payload) for one in exports]
    return found


def sent_in(chance: random.Random, corpus: Sequence[bytes], mutator: flow_mutations.Mutator) -> Iterator[Sent]:
    """A batch."""
    for _ in range(DATAGRAMS):
        if chance.random() < INVENTED_SHARE:
            data = bytearray(mutator.datagram())
        else:
            data = bytearray(chance.choice(corpus))
            for _ in range(chance.choice((0, 1, 1, 2, 3))):
                mutator.change(data)
        if data[:4] == b"\0\0\0\5":
            yield Sent("10.1.0.1", bytes(data[:MAX_BYTES]))


def differences(sent: Sequence[Sent], ours: Ours, totals: Counter[str]) -> Iterator[Difference]:
    """Of the samples that both found."""
    for number, (trees, whole) in enumerate(by_tshark(sent)):
        places = sflow_trees.places(sent[number].payload)
        for place, tree in zip(places, trees if whole else trees[:-1], strict=False):
            expanded = place.tag == DISCARDED and place.end - place.at >= SAMPLE_BYTES[DISCARDED]
            told = (EXPANDED_FLOW, place.end - place.at + 12) if expanded else (place.tag, place.end - place.at)
            if sflow_trees.kind(tree) != told:
                totals["samples that tshark did not find"] += 1
                break
            if place.tag in SAMPLE_BYTES and place.end - place.at >= SAMPLE_BYTES[place.tag]:
                yield from _sample(number, sent[number].payload, place, tree, ours=ours, totals=totals)


def _sample(
    number: int, payload: bytes, place: Place, tree: Pairs, *, ours: Ours, totals: Counter[str]
) -> Iterator[Difference]:
    at = number, place.at + SAMPLE_BYTES[place.tag]
    totals["samples"] += 1
    words, fixed = ours.words.get(at, {}), sflow_trees.fixed(tree)
    for name in fixed.keys() & (words.keys() if words else fixed.keys()):
        if fixed[name] != words.get(name):
            yield Difference(at, name, words.get(name), fixed[name], fixed)
    shown = sflow_trees.records(tree)[: len(place.records)]
    if [each[:2] for each in shown] != [(format_, size) for format_, _, size in place.records]:
        totals["samples whose records tshark did not find"] += 1
        return
    malformed = [byte for datagram, byte in ours.problems if datagram == number and place.at <= byte < place.end]
    for (format_, start, size), following, record in zip(place.records, place.records[1:], shown, strict=False):
        # Where tshark found the next record, and could not have found it elsewhere, it has read just this many bytes.
        only = payload[start:].count(struct.pack("!II", following[0], following[2])) == 1
        if only and size % 4 == 0 and any(start <= byte < start + size for byte in malformed):
            yield Difference(at, f"malformed {format_}", True, False, flat(record[2]))
    if malformed:
        totals["samples with something malformed"] += 1
        return
    totals["samples compared whole"] += 1
    if "rate" in fixed:
        row = ours.rows.get(at, {})
        mine: Mapping[str, Any] = {**row, "bytes": row.get("drop_bytes" if place.tag == DISCARDED else "bytes")}
        seen = {**sflow_trees.packet(shown), **sflow_trees.interfaces({**fixed, **words})}
        names = seen.keys() | (COLUMNS.keys() if any(each[0] == sflow_trees.HEADER for each in shown) else set())
    else:
        mine, seen = dict(ours.counters.get(at, {})), sflow_trees.counters(shown)
        mine["ifStatus"] = STATUS.get(mine.get("ifStatus", ""))
        names = seen.keys()
    for name in sorted(names):
        left, right = mine.get(name, COLUMNS.get(name)), seen.get(name, COLUMNS.get(name))
        if left != right:
            yield Difference(at, name, left, right, _record(shown))


def _record(shown: Sequence[tuple[int, int, Pairs]]) -> dict[str, list[str]]:
    """All that tshark shows of the packet, or of the records if there is none."""
    return flat(
        next((tree for format_, _, tree in shown if format_ == sflow_trees.HEADER), [("", tree) for _, _, tree in shown])
    )


def comparing(seed: int) -> Callable[[random.Random], Compared]:
    """What compares a batch."""
    corpus, mutator = (
        [*golden(), *sflow_payloads(seed, WELL_FORMED), *device_payloads(seed, WELL_FORMED)],
        flow_mutations.Mutator(seed),
    )

    def batch(chance: random.Random) -> Compared:
        sent = list(sent_in(chance, corpus, mutator))
        totals = Counter(datagrams=len(sent))
        found = list(differences(sent, by_us(sent), totals))
        return Compared(sent, found, totals)

    return batch


if __name__ == "__main__":
    sys.exit(until_differs("against_tshark_sflow", KNOWN, comparing))
