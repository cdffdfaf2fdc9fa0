# SPDX-License-Identifier: Apache-2.0
"""Which UDP datagrams of a capture are flow exports: told by what they hold, on any port.

A payload is taken when its version is one of ours and one of these holds:

* its lengths add up (sets, records), or its export time is near the time of capture: then it also tells of a collector;
* its header, and the first set or record behind it, can be;

or, whatever it holds, when it goes to a collector known by what came before, or to a port that collectors have by custom.

So malformed exports are found as well, and are named by the decoder, while other protocols that happen to begin with such a
number are not taken for exports.
"""

from __future__ import annotations

import struct

FLOW_PORTS = frozenset({2055, 2056, 4432, 4739, 6343, 9555, 9995, 9996})
"""Ports that collectors listen on by custom: IANA's of IPFIX and sFlow, Cisco's and nfdump's of NetFlow."""
NEAR_S = 2 * 86_400
"""Export and capture time apart: time zones and lazy clocks, and still less than chance would give."""
MAX_ENDPOINTS = 65_536
"""Addresses and ports of collectors remembered."""

_V5_HEADER, _V5_RECORD = 24, 48
_V7_RECORD = 52
_V1_HEADER, _V1_RECORDS = 16, (52, 48)
_V9_HEADER, _IPFIX_HEADER, _SET_HEADER = 20, 16, 4
_SFLOW_HEADER = 28
MAX_RECORDS = 30
"""Records of a datagram of NetFlow 5: what fits into an Ethernet frame."""
MAX_SAMPLES = 1024
"""Samples of a plausible sFlow datagram."""


class Recogniser:
    """Tells exports from other datagrams of one capture."""

    def __init__(self) -> None:
        self._collectors: set[tuple[bytes, int]] = set()

    def is_export(self, payload: bytes, receiver: bytes, port: int, time_ns: int, missing: int = 0) -> bool:
        """Whether ``payload``, sent to ``port`` of ``receiver``, is a flow export; ``missing``: bytes of it not captured."""
        collector = receiver, port
        if collector in self._collectors:
            return True
        if adds_up(payload, missing) or _timely(payload, time_ns // 1_000_000_000):
            if len(self._collectors) < MAX_ENDPOINTS:
                self._collectors.add(collector)
            return True
        return port in FLOW_PORTS or _can_be(payload, len(payload) + missing)


def protocol(payload: bytes) -> int:
    """The version of NetFlow (1, 5, 7, 9), 10 for IPFIX, 6343 for sFlow 5, else 0."""
    if payload[:4] == b"\0\0\0\5" and payload[4:8] in (b"\0\0\0\1", b"\0\0\0\2"):
        return 6343
    version = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 0
    return version if version in (1, 5, 7, 9, 10) else 0


def adds_up(payload: bytes, missing: int = 0) -> bool:
    """Whether the lengths in a payload fit each other; ``missing``: bytes behind it that were not captured."""
    version, size = protocol(payload), len(payload) + missing
    if version == 6343:
        return _samples(payload, size)
    if version == 10:
        return (
            len(payload) >= _IPFIX_HEADER
            and int.from_bytes(payload[2:4], "big") == size
            and _sets(payload, size, _IPFIX_HEADER, 2)
        )
    if version == 9:
        return len(payload) > _V9_HEADER and _sets(payload, size, _V9_HEADER, 0)
    count = int.from_bytes(payload[2:4], "big")
    if not version or not count:
        return False
    if version == 1:
        return any(size == _V1_HEADER + count * record for record in _V1_RECORDS)
    return size == _V5_HEADER + count * (_V5_RECORD if version == 5 else _V7_RECORD)


def _can_be(payload: bytes, size: int) -> bool:
    """Whether a header is plausible, though what follows may be broken; ``size``: of the whole payload."""
    version = protocol(payload)
    if version in (9, 10):
        at = _IPFIX_HEADER if version == 10 else _V9_HEADER
        if version == 10 and int.from_bytes(payload[2:4], "big") != size:
            return False
        set_id, length = int.from_bytes(payload[at : at + 2], "big"), int.from_bytes(payload[at + 2 : at + 4], "big")
        return (set_id < 4 or set_id >= 256) and _SET_HEADER <= length <= size - at
    count = int.from_bytes(payload[2:4], "big")
    return version in (1, 5, 7) and 0 < count <= MAX_RECORDS and size >= _V5_HEADER + _V5_RECORD


def _sets(payload: bytes, size: int, at: int, first_id: int) -> bool:
    """Whether sets from ``at`` fill the payload of ``size`` bytes, as far as it is there.

    Ids below 256 other than templates and options templates are none.
    """
    while len(payload) - at >= _SET_HEADER:
        set_id, length = struct.unpack_from("!HH", payload, at)
        if not length and not any(payload[at:]):
            return True
        if set_id not in (first_id, first_id + 1) and set_id < 256:
            return False
        if not _SET_HEADER <= length <= size - at:
            return False
        at += length
    return True


def _samples(payload: bytes, size: int) -> bool:
    """Whether an sFlow datagram of ``size`` bytes has a whole header, and samples of which the first fits."""
    agent = 4 if payload[7] == 1 else 16
    header = _SFLOW_HEADER - 4 + agent
    if len(payload) < header:
        return False
    count = int.from_bytes(payload[header - 4 : header], "big")
    if not count:
        return size == header
    first = int.from_bytes(payload[header + 4 : header + 8], "big")
    return count <= MAX_SAMPLES and header + 8 + first <= size


def export_s(payload: bytes) -> int:
    """The export time in a header, seconds since 1970; 0 when it has none."""
    version = protocol(payload)
    at = 4 if version == 10 else 8
    return int.from_bytes(payload[at : at + 4], "big") if version in (1, 5, 7, 9, 10) and len(payload) >= at + 4 else 0


def _timely(payload: bytes, capture_s: int) -> bool:
    """Whether a header's export time is near that of the capture."""
    sent_s = export_s(payload)
    return bool(capture_s and sent_s) and abs(sent_s - capture_s) <= NEAR_S
