# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - a program that prints
"""Mutated captures as our decoder and as tshark's dissector read them, for FUZZ_SECONDS (default 60): field by field the same.

Golden captures of NetFlow 5, 7, 9 and IPFIX are changed (lengths, counts, ids, cut, sets in another order), each with a sender
of its own so that templates do not mix, and go through tshark a batch at a time. Sets that both decode must have the same
records and, of the fields that both know, the same values. What differs for a reason is in ``KNOWN``; anything else is written
to ``reports/fuzz`` and ends the run with status 1.
"""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from captures_of import Sent
from offered import FIRST_DATA_SET, data_sets
from tshark import Compared, Difference, Known, Pairs, Place, first, flat, trees, until_differs

import flow_mutations
import wire_mutations
from capture_kit import reading
from flowgauge.flow.addresses import packed, to_text
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.origins import OFFSET_BITS

TESTS = Path(__file__).parents[1] / "tests"
CASES, DATAGRAMS = 150, 8
"""Of a batch, and of a case at most."""
VERSIONS = (5, 7, 9, 10)
HEADER_BYTES = {5: 24, 7: 24, **wire_mutations.HEADER_BYTES}
Record = Mapping[str, Sequence[str]]
Key = tuple[str, int, int]
"""Sender, domain and id of a template: for tshark, whatever the version."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "src_addr": ("srcaddr", "srcaddrv6"), "dst_addr": ("dstaddr", "dstaddrv6"), "src_port": ("srcport",),
    "dst_port": ("dstport",), "proto": ("protocol",), "bytes": ("octets",), "packets": ("packets",),
    "tcp_flags": ("tcpflags",), "ip_tos": ("tos",), "in_if": ("inputint",), "out_if": ("outputint",), "src_as": ("srcas",),
    "dst_as": ("dstas",),
}  # fmt: skip
LONGEST = {number.to_bytes(2): length for number, length in {4: 1, 5: 1, 6: 2, 7: 2, 11: 2, 10: 4, 14: 4, 16: 4, 17: 4}.items()}
"""Bytes of the elements behind ``FIELDS``."""
ICMP = frozenset({1, 58})


@dataclass
class Ours:
    """The records of one set, by column; only columns that they have. ``broken``: something in it was named as malformed."""

    records: list[dict[str, Any]] = field(default_factory=list)
    broken: bool = False


def sent_in(
    chance: random.Random, corpus: Sequence[Sequence[bytes]], mutators: Sequence[wire_mutations.Mutator]
) -> Iterator[Sent]:
    """A batch of cases, each from an address of its own."""
    for case in range(CASES):
        for payload in chance.choice(corpus)[:DATAGRAMS]:
            data = bytearray(payload)
            for _ in range(chance.choice((0, 0, 1, 1, 2))):
                mutators[payload[1] < wire_mutations.v9.VERSION].change(data)
            yield Sent(f"10.1.{case >> 8}.{case & 255}", bytes(data[: wire_mutations.MAX_BYTES]))


def golden() -> list[list[bytes]]:
    """The datagrams of each golden capture that are of one of the versions."""
    found = []
    for path in sorted(TESTS.glob("golden/*/*/*.pcap")):
        exports, _, _ = reading(path.read_bytes())
        payloads = [bytes(one.payload) for one in exports if int.from_bytes(one.payload[:2]) in VERSIONS]
        found += [payloads[at : at + DATAGRAMS] for at in range(0, len(payloads), DATAGRAMS)]
    return [*found, *([one] for one in wire_mutations.corpus())]


# --- ours ---------------------------------------------------------------------------------------------------------------------


def read_otherwise(sent: Sequence[Sent]) -> set[Key]:
    """Templates that tshark is known to read otherwise.

    Those defined in several ways, of which it keeps the first and we the newest (RFC 7011 §8), or in NetFlow v9 and IPFIX,
    which it does not keep apart (trap 32); those with fields of no length, which it gives their usual one, or longer than their
    type, of which it reads the beginning and we the end; those with a field twice, of which we take the first that is not zero
    (trap 29).
    """
    known: dict[Key, bytes] = {}
    found: set[Key] = set()
    for one in sent:
        version, payload = int.from_bytes(one.payload[:2]), one.payload
        at = HEADER_BYTES.get(version, len(payload))
        domain = int.from_bytes(payload[at - 4 : at])
        for content in wire_mutations.sets_of(payload):
            if int.from_bytes(content[:2]) >= FIRST_DATA_SET:
                continue
            for number, definition, fields in _definitions(content, version):
                key, elements = (one.source, domain, number), [element for element, _ in fields]
                again = known.setdefault(key, definition) != definition
                odd = any(not 0 < length <= LONGEST.get(element, length) for element, length in fields)
                if again or odd or len(set(elements)) < len(elements):
                    found.add(key)
    return found


def _definitions(content: bytes, version: int) -> Iterator[tuple[int, bytes, list[tuple[bytes, int]]]]:
    """Id, bytes and fields (element and length) of each template of a set, as far as they can be told apart."""
    at, options, is_v9 = 4, content[1] & 1, version == wire_mutations.v9.VERSION
    while at + 4 <= len(content):
        number, count = struct.unpack_from("!HH", content, at)
        end, fields = at + (6 if options else 4), list[tuple[bytes, int]]()
        if options and is_v9:
            count = (count + int.from_bytes(content[at + 4 : at + 6])) // 4
        for _ in range(count):
            size = 8 if not is_v9 and content[end : end + 1] >= b"\x80" else 4
            fields.append((content[end : end + 2] + content[end + 4 : end + size], int.from_bytes(content[end + 2 : end + 4])))
            end += size
        yield number, content[at:end], fields
        at = end


def by_us(sent: Sequence[Sent]) -> dict[Place, Ours]:
    """The sets that we decode, with their records in order."""
    found: dict[Place, Ours] = {}
    broken: set[Place] = set()
    decoder, first = Decoder(detailed=True), 0
    for part in _by_sender(sent):
        decoded = decoder.decode(Datagrams.from_payloads([one.payload for one in part], part[0].source))
        columns = {name: decoded.flows.array(name) for name in FIELDS if name in decoded.flows}
        for detail in decoded.details:
            if detail.place is not None:
                continue  # the other direction of records that are there already
            for row, position in zip(range(detail.first, detail.last), detail.position.tolist(), strict=True):
                place = first + (position >> OFFSET_BITS), position & (1 << OFFSET_BITS) - 1
                told = {name: _plain(columns[name][row]) for name in columns.keys() & detail.columns}
                found.setdefault(place, Ours()).records.append(told)
        for problem in decoded.problems:
            broken.add((first + problem.datagram, problem.offset))
        decoder, first = Decoder(detailed=True), first + len(part)
    for place, ours in found.items():
        size = {at: size for _, at, size in data_sets(sent[place[0]].payload)}.get(place[1], 0)
        ours.broken = any(number == place[0] and place[1] <= at < place[1] + size for number, at in broken)
    return found


def _by_sender(sent: Sequence[Sent]) -> Iterator[list[Sent]]:
    part: list[Sent] = []
    for one in sent:
        if part and part[0].source != one.source:
            yield part
            part = []
        part.append(one)
    yield part


def _plain(value: Any) -> int | str:
    if isinstance(value, np.ndarray):
        text = to_text(value.tobytes())
        return "" if text in ("0.0.0.0", "::") else text
    return int(value)


# --- theirs -------------------------------------------------------------------------------------------------------------------


def by_tshark(sent: Sequence[Sent]) -> dict[Place, list[Record]]:
    """The same of tshark: field name to values, of each record of each set."""
    found: dict[Place, list[Record]] = {}
    for number, layers in enumerate(trees(sent, "cflow")):
        for place, record in _records(number, layers, sent[number].payload):
            found.setdefault(place, []).append(record)
    return found


def _records(number: int, layers: Pairs, payload: bytes) -> Iterator[tuple[Place, Record]]:
    at = HEADER_BYTES.get(int.from_bytes(payload[:2]), 0)
    for name, value in first(layers, "cflow"):
        if not isinstance(value, list):
            continue
        if name.startswith("pdu"):
            yield (number, at), _fields(value)
        elif name.startswith(("FlowSet", "Set")):
            for flow, record in value:
                if flow.startswith("Flow ") and isinstance(record, list):
                    yield (number, at + 4), _fields(record)
            at += int(first(value, "cflow.flowset_length") or 0)


def _fields(record: Pairs) -> Record:
    return {name.removeprefix("cflow."): values for name, values in flat(record).items()}


# --- both ---------------------------------------------------------------------------------------------------------------------


_BEHIND = {
    "bytes": "post_octets",
    "packets": "post_packets",
    "in_if": "ingress_physical_interface",
    "out_if": "egress_physical_interface",
}
COUNTERS = ("octets", "packets")
KNOWN: Known = (
    ("what is padding behind records of a few bytes is a guess", lambda one: one.what == "records" and len(one.record) <= 3),
    (
        "what is behind the observation point, or an interface, where the element before it is zero",
        lambda one: not one.theirs and _BEHIND.get(one.what, "") in one.record,
    ),
    (
        "interfaces of packets from Cisco's server are those of its client's flow the other way round",
        lambda one: (
            one.what in ("in_if", "out_if")
            and one.record.get("biflow_direction") == ["2"]
            and any(name.startswith("pie.cisco.connection_client_") for name in one.record)
        ),
    ),
    (
        "a counter of no bytes is zero, and tshark shows the answer's by the same name",
        lambda one: (
            one.what in ("bytes", "packets") and one.ours == 0 and any(len(one.record.get(name, ())) > 1 for name in COUNTERS)
        ),
    ),
    ("a value too large for its column is the largest for us", lambda one: one.ours in (0xFF, 0xFFFF, 0xFFFFFFFF)),
)


def differences(sent: Sequence[Sent], ours: Mapping[Place, Ours], theirs: Mapping[Place, list[Record]]) -> Iterator[Difference]:
    """Of the sets that both have decoded, by the same template."""
    otherwise = read_otherwise(sent)
    for place in sorted(ours.keys() & theirs.keys()):
        mine, seen, payload = ours[place].records, theirs[place], sent[place[0]].payload
        if ours[place].broken or any(name.startswith("_ws.") for record in seen for name in record):
            continue  # not what both take for whole
        head = HEADER_BYTES[payload[1]]
        set_id, domain = int.from_bytes(payload[place[1] - 4 : place[1] - 2]), int.from_bytes(payload[head - 4 : head])
        if (sent[place[0]].source, domain, set_id) in otherwise:
            continue
        if len(mine) != len(seen):
            yield Difference(place, "records", len(mine), len(seen), seen[0])
            continue
        for row, record in zip(mine, seen, strict=True):
            for name, labels in FIELDS.items():
                values = [value for label in labels for value in record.get(label, ())]
                if row.get("proto") in ICMP and name.endswith("_port"):
                    continue  # type and code, which are no ports (trap 25)
                if name in row and len(values) == 1 and (told := _read(name, values[0])) != row[name]:
                    yield Difference(place, name, row[name], told, record)


def _read(name: str, value: str) -> int | str:
    if name.endswith("_addr"):
        return to_text(packed(value)) if value not in ("0.0.0.0", "::") else ""
    number = int(value, 0)
    return number & 0x0FFF if name == "tcp_flags" else number  # tshark shows the header's length, too (RFC 7125 §3)


def comparing(seed: int) -> Callable[[random.Random], Compared]:
    """What compares a batch."""
    corpus, mutators = golden(), (wire_mutations.Mutator(seed), flow_mutations.Mutator(seed))

    def batch(chance: random.Random) -> Compared:
        sent = list(sent_in(chance, corpus, mutators))
        ours, theirs = by_us(sent), by_tshark(sent)
        both = ours.keys() & theirs.keys()
        totals = {
            "datagrams": len(sent), "sets": len(both), "records": sum(len(ours[place].records) for place in both),
            "only_ours": len(ours.keys() - both), "only_tshark": len(theirs.keys() - both),
        }  # fmt: skip
        return Compared(sent, list(differences(sent, ours, theirs)), totals)

    return batch


if __name__ == "__main__":
    sys.exit(until_differs("against_tshark", KNOWN, comparing))
