# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the programs that use it
"""What datagrams offer, found with ``struct`` alone: the decoder's counters are held against it.

Versions are told apart, records of NetFlow 1, 5 and 7 counted by header and length, samples of sFlow and data sets of NetFlow
v9 and IPFIX found by walking their lengths.
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


def offered(payloads: Sequence[bytes]) -> Counter[str]:
    """Sums over a batch: ``unknown_version``, ``legacy_records``, samples by kind, ``data_sets``."""
    counts = Counter[str]()
    for payload in payloads:
        version = int.from_bytes(payload[:2]) if len(payload) >= 2 else 0
        if version in LEGACY:
            counts["legacy_records"] += _legacy(payload, version)
        elif version in TEMPLATED:
            sizes = [size for set_id, _, size in data_sets(payload) if set_id >= FIRST_DATA_SET]
            counts["data_sets"] += len(sizes)
            counts["empty_data_sets"] += sizes.count(0)
        elif payload[:4] == b"\0\0\0\5":
            counts.update(_samples(payload))
        else:
            counts["unknown_version"] += 1
    return counts


def _legacy(payload: bytes, version: int) -> int:
    head, size = LEGACY[version]
    if len(payload) < head:
        return 0
    claimed, content = int.from_bytes(payload[2:4]), len(payload) - head
    if version == 1:
        exact = bool(claimed) and content == claimed * SHORT_V1
        if exact or claimed * SHORT_V1 <= content < claimed * size:
            size = SHORT_V1
    return min(claimed, content // size)


def data_sets(payload: bytes) -> Iterator[tuple[int, int, int]]:
    """(Set id, offset and length of the content) of every set that fits, of one message or of several in a datagram."""
    at = 0
    while at + 2 <= len(payload):
        version = int.from_bytes(payload[at : at + 2])
        head = TEMPLATED.get(version, 0)
        if not head or at + head > len(payload):
            return
        end = len(payload) if version == 9 else at + int.from_bytes(payload[at + 2 : at + 4])
        if not at + head <= end <= len(payload):
            return
        place = at + head
        while place + 4 <= end:
            set_id, length = struct.unpack_from("!HH", payload, place)
            if length < 4 or place + length > end:
                break
            yield set_id, place + 4, length - 4
            place += length
        at = end


def _samples(payload: bytes) -> Iterator[str]:
    for tag, _, length in samples_in(payload):
        if tag not in SAMPLES:
            yield "sflow_unknown"
        elif length >= SAMPLE_BYTES[tag]:
            yield SAMPLES[tag]


def samples_in(payload: bytes) -> Iterator[tuple[int, int, int]]:
    """(Format, offset and length of the content) of every sample of an sFlow datagram that fits."""
    kind = int.from_bytes(payload[4:8])
    at = 8 + {0: 0, 1: 4, 2: 16}.get(kind, len(payload))
    if at + 16 > len(payload):
        return
    count = int.from_bytes(payload[at + 12 : at + 16])
    yield from parts_in(payload, at + 16, len(payload), min(count, MAX_SAMPLES))


def parts_in(payload: bytes, at: int, end: int, count: int) -> Iterator[tuple[int, int, int]]:
    """The same of up to ``count`` parts between two places: samples of a datagram, records of a sample."""
    for _ in range(count):
        if at + 8 > end:
            return
        tag, length = struct.unpack_from("!II", payload, at)
        if at + 8 + length > end:
            return
        yield tag, at + 8, length
        at += 8 + (length + 3 & ~3)
