# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001, T201 - a program that prints
"""Mutated captures as our decoder and as tshark's dissector read them, for FUZZ_SECONDS (default 60): field by field the same.

Golden captures of NetFlow 5, 7, 9 and IPFIX are changed (lengths, counts, ids, cut, sets in another order), each with a sender
of its own so that templates do not mix, and go through tshark a batch at a time. Sets that both decode must have the same
records and, of the fields that both know, the same values. What differs for a reason is in ``KNOWN``; anything else is written
to ``reports/fuzz`` and ends the run with status 1.
"""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from captures_of import Sent, pcap
from offered import FIRST_DATA_SET, data_sets

import flow_mutations
import wire_mutations
from capture_kit import reading
from flowgauge.flow.addresses import packed, to_text
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.origins import OFFSET_BITS

TESTS = Path(__file__).parents[1] / "tests"
FAILURES = Path(__file__).parents[1] / "reports/fuzz"
CASES, DATAGRAMS = 150, 8
"""Of a batch, and of a case at most."""
VERSIONS = (5, 7, 9, 10)
HEADER_BYTES = {5: 24, 7: 24, **wire_mutations.HEADER_BYTES}
Pairs = list[tuple[str, Any]]
Record = Mapping[str, Sequence[str]]
Key = tuple[str, int, int]
"""Sender, domain and id of a template: for tshark, whatever the version."""
Place = tuple[int, int]
"""Number of the datagram in the batch, and offset of the set's content (of a header, where there are no sets)."""

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


def by_tshark(sent: Sequence[Sent], folder: Path) -> dict[Place, list[Record]]:
    """The same of tshark: field name to values, of each record of each set."""
    (folder / "batch.pcap").write_bytes(pcap(sent))
    command = ["tshark", "-n", "-r", str(folder / "batch.pcap"), "-d", "udp.port==2055,cflow", "-T", "json", "-J", "cflow"]
    output = subprocess.run(command, capture_output=True, check=True, timeout=300).stdout
    packets = json.loads(output, object_pairs_hook=lambda pairs: pairs)
    found: dict[Place, list[Record]] = {}
    for number, packet in enumerate(packets):
        for place, record in _records(number, _one(_one(packet, "_source"), "layers"), sent[number].payload):
            found.setdefault(place, []).append(record)
    return found


def _one(pairs: Pairs, name: str) -> Any:
    return next((value for key, value in pairs if key == name), [])


def _records(number: int, layers: Pairs, payload: bytes) -> Iterator[tuple[Place, Record]]:
    at = HEADER_BYTES.get(int.from_bytes(payload[:2]), 0)
    for name, value in _one(layers, "cflow"):
        if not isinstance(value, list):
            continue
        if name.startswith("pdu"):
            yield (number, at), _flat(value)
        elif name.startswith(("FlowSet", "Set")):
            for flow, record in value:
                if flow.startswith("Flow ") and isinstance(record, list):
                    yield (number, at + 4), _flat(record)
            at += int(_one(value, "cflow.flowset_length") or 0)


def _flat(pairs: Pairs) -> Record:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if isinstance(value, str):
            found.setdefault(name.removeprefix("cflow."), []).append(value)
        elif isinstance(value, list) and value and isinstance(value[0], tuple):
            for inner, values in _flat(value).items():
                found.setdefault(inner, []).extend(values)
    return found


# --- both ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """One place where the two differ; ``what`` is ``records`` or a column."""

    place: Place
    what: str
    ours: Any
    theirs: Any
    record: Record
    payload: bytes

    def __str__(self) -> str:
        where = f"datagram {self.place[0]}, byte {self.place[1]}"
        return f"{where}: {self.what}: ours {self.ours}, tshark {self.theirs}; {dict(self.record)}"


KNOWN: Sequence[tuple[str, Callable[[Difference], bool]]] = (
    ("what is padding behind records of a few bytes is a guess", lambda one: one.what == "records" and len(one.record) <= 3),
    ("a value too large for its column is the largest for us", lambda one: one.ours in (0xFF, 0xFFFF, 0xFFFFFFFF)),
)
"""Why the two may differ, and how such a difference is told; the first that fits counts."""


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
            yield Difference(place, "records", len(mine), len(seen), seen[0], payload)
            continue
        for row, record in zip(mine, seen, strict=True):
            for name, labels in FIELDS.items():
                values = [value for label in labels for value in record.get(label, ())]
                if row.get("proto") in ICMP and name.endswith("_port"):
                    continue  # type and code, which are no ports (trap 25)
                if name in row and len(values) == 1 and (told := _read(name, values[0])) != row[name]:
                    yield Difference(place, name, row[name], told, record, payload)


def _read(name: str, value: str) -> int | str:
    if name.endswith("_addr"):
        return to_text(packed(value)) if value not in ("0.0.0.0", "::") else ""
    return int(value, 0)


def main() -> int:
    """Runs until the time is over, or something differs for no known reason."""
    until = time.monotonic() + float(os.environ.get("FUZZ_SECONDS", "60"))
    seed = int(os.environ.get("FUZZ_SEED", str(time.time_ns() % 1_000_000_000)))
    chance, corpus, totals = random.Random(seed), golden(), Counter[str]()  # noqa: S311 - the same again for a seed
    mutators = (wire_mutations.Mutator(seed), flow_mutations.Mutator(seed))
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < until:
            sent = list(sent_in(chance, corpus, mutators))
            ours, theirs = by_us(sent), by_tshark(sent, Path(folder))
            both = ours.keys() & theirs.keys()
            totals.update(datagrams=len(sent), sets=len(both), records=sum(len(ours[place].records) for place in both))
            totals.update(only_ours=len(ours.keys() - both), only_tshark=len(theirs.keys() - both))
            unknown = []
            for each in differences(sent, ours, theirs):
                reason = next((reason for reason, fits in KNOWN if fits(each)), None)
                if reason is None:
                    unknown.append(each)
                else:
                    totals[f"known: {reason}"] += 1
            if unknown:
                return _failed(unknown, sent, seed)
    print(f"against_tshark: seed {seed}, " + ", ".join(f"{count:,} {name}" for name, count in totals.items()))
    return 0


def _failed(unknown: Sequence[Difference], sent: Sequence[Sent], seed: int) -> int:
    FAILURES.mkdir(parents=True, exist_ok=True)
    path = FAILURES / f"against_tshark_{seed}.pcap"
    path.write_bytes(pcap(sent))
    for each in unknown[:20]:
        print(each, file=sys.stderr)
    print(f"against_tshark: seed {seed}, {len(unknown)} differences: {path}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
