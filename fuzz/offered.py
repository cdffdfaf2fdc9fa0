# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the programs that use it
"""What datagrams offer, found with ``struct`` alone: the decoder's counters are held against it.

Versions are told apart, records of NetFlow 1, 5 and 7 counted by header and length, samples of sFlow and data sets of NetFlow
v9 and IPFIX found by walking their lengths. Of a datagram that was cut (``missing``: so many bytes at its end are not there)
lengths may lead beyond what is there, and what they lead to ends where the cut was.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence

LEGACY = {1: (16, 52), 5: (24, 48), 7: (24, 52)}
"""Header and record length; some exporters of version 1 send 48 bytes."""
SHORT_V1 = 48
TEMPLATED = {9: 20, 10: 16}
SAMPLES = {1: "sflow_flow", 2: "sflow_counter", 3: "sflow_expanded_flow", 4: "sflow_expanded_counter", 5: "sflow_discarded"}
SAMPLE_BYTES = {1: 32, 2: 12, 3: 44, 4: 16, 5: 32}
MAX_SAMPLES = 1024
"""Of one datagram; what the decoder reads."""
FIRST_DATA_SET = 256


def offered(batch: Sequence[tuple[bytes, int]]) -> Counter[str]:
    """Sums over payloads, each with what is missing: ``unknown_version``, ``legacy_records``, samples, ``data_sets``."""
    counts = Counter[str]()
    for payload, missing in batch:
        version = int.from_bytes(payload[:2]) if len(payload) >= 2 else 0
        if version in LEGACY:
            counts["legacy_records"] += _legacy(payload, missing, version)
        elif version in TEMPLATED:
            sizes = [size for set_id, _, size in data_sets(payload, missing) if set_id >= FIRST_DATA_SET]
            counts["data_sets"] += len(sizes)
            counts["empty_data_sets"] += sizes.count(0)
        elif payload[:4] == b"\0\0\0\5":
            counts.update(_samples(payload, missing))
        else:
            counts["unknown_version"] += 1
    return counts


def _legacy(payload: bytes, missing: int, version: int) -> int:
    head, size = LEGACY[version]
    if len(payload) < head:
        return 0
    claimed, content = int.from_bytes(payload[2:4]), len(payload) - head
    sent = content + missing
    if version == 1:
        exact = bool(claimed) and sent == claimed * SHORT_V1
        if exact or claimed * SHORT_V1 <= sent < claimed * size:
            size = SHORT_V1
    return min(claimed, content // size)


def data_sets(payload: bytes, missing: int = 0) -> Iterator[tuple[int, int, int]]:
    """(Set id, offset and length of the content, as far as it is there) of every set that fits, of one message or several."""
    at, sent = 0, len(payload) + missing
    while at + 2 <= len(payload):
        version = int.from_bytes(payload[at : at + 2])
        head = TEMPLATED.get(version, 0)
        if not head or at + head > len(payload):
            return
        end = sent if version == 9 else at + int.from_bytes(payload[at + 2 : at + 4])
        if not at + head <= end <= sent:
            return
        place, here = at + head, min(end, len(payload))
        while place + 4 <= here:
            set_id, length = struct.unpack_from("!HH", payload, place)
            if length < 4 or place + length > end:
                break
            yield set_id, place + 4, min(place + length, here) - place - 4
            place += length
        at = end


def _samples(payload: bytes, missing: int) -> Iterator[str]:
    for tag, _, length in samples_in(payload, missing):
        if tag not in SAMPLES:
            yield "sflow_unknown"
        elif length >= SAMPLE_BYTES[tag]:
            yield SAMPLES[tag]


def samples_in(payload: bytes, missing: int = 0) -> Iterator[tuple[int, int, int]]:
    """(Format, offset and length of the content, as far as it is there) of every sample of an sFlow datagram that fits."""
    kind = int.from_bytes(payload[4:8])
    at = 8 + {0: 0, 1: 4, 2: 16}.get(kind, len(payload))
    if at + 16 > len(payload):
        return
    count = int.from_bytes(payload[at + 12 : at + 16])
    yield from parts_in(payload, at + 16, len(payload), min(count, MAX_SAMPLES), missing)


def parts_in(payload: bytes, at: int, end: int, count: int, missing: int = 0) -> Iterator[tuple[int, int, int]]:
    """The same of up to ``count`` parts between two places: samples of a datagram, records of a sample."""
    for _ in range(count):
        if at + 8 > end:
            return
        tag, length = struct.unpack_from("!II", payload, at)
        if at + 8 + length > end + missing:
            return
        yield tag, at + 8, min(length, end - at - 8)
        at += 8 + (length + 3 & ~3)
