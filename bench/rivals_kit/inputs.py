# SPDX-License-Identifier: Apache-2.0
"""The five kinds of datagrams that all collectors get, deterministic: the same bytes on every machine.

Eight exporters, each an address (127.0.1.1 …) and a domain of its own, in runs of eight datagrams. Templates are announced
every 20 datagrams of an exporter.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rivals_kit.values import START_S, UPTIME_MS, Field, flows, records

EXPORTERS, RUN, REFRESH = 8, 8, 20
VARIABLE = 65535
IPFIX: tuple[Field, ...] = (
    (8, 4, "src"), (12, 4, "dst"), (7, 2, "src_port"), (11, 2, "dst_port"), (4, 1, "proto"), (6, 1, "flags"), (5, 1, "tos"),
    (61, 1, "direction"), (1, 8, "bytes"), (2, 8, "packets"), (152, 8, "start_ms"), (153, 8, "end_ms"), (10, 4, "in_if"),
    (14, 4, "out_if"), (56, 6, "src_mac"), (80, 6, "dst_mac"), (58, 2, "vlan"), (34, 4, 100), (9, 1, "src_mask"),
    (13, 1, "dst_mask"), (60, 1, 4), (136, 1, "reason"),
)  # fmt: skip
NETFLOW9: tuple[Field, ...] = (
    *IPFIX[:10], (22, 4, "first"), (21, 4, "last"), *IPFIX[12:17], (48, 1, 1), *IPFIX[18:21], (15, 4, "next_hop"),
)  # fmt: skip
NETFLOW5: tuple[Field, ...] = (
    (8, 4, "src"), (12, 4, "dst"), (15, 4, "next_hop"), (10, 2, "in_if"), (14, 2, "out_if"), (2, 4, "packets"), (1, 4, "bytes"),
    (22, 4, "first"), (21, 4, "last"), (7, 2, "src_port"), (11, 2, "dst_port"), (0, 1, 0), (6, 1, "flags"), (4, 1, "proto"),
    (5, 1, "tos"), (16, 2, "src_as"), (17, 2, "dst_as"), (9, 1, "src_mask"), (13, 1, "dst_mask"), (0, 2, 0),
)  # fmt: skip
_CORE: tuple[Field, ...] = (*IPFIX[2:6], *IPFIX[8:14])
_V4, _V6 = IPFIX[:2], ((27, 16, "src"), (28, 16, "dst"))
_NAMES: tuple[Field, ...] = ((82, VARIABLE, "interface"), (96, VARIABLE, "application"))
VARIABLES: Mapping[int, tuple[Field, ...]] = {
    300: (*_V4, *_CORE, *_NAMES),
    301: (*_V6, *_CORE, *_NAMES),
    302: (*_V4, *_CORE, *IPFIX[14:17], *_NAMES),
    303: (*_V4, *_CORE, (225, 4, "src"), (226, 4, "dst"), (227, 2, "src_port"), (228, 2, "dst_port"), *_NAMES),
    304: (*_V4, *_CORE, (460, VARIABLE, "interface"), (371, VARIABLE, "application")),
    305: (*_V6, *_CORE, (5, 1, "tos"), (61, 1, "direction"), (31, 4, 0), *_NAMES),
}
"""Templates with two strings each; six in turn, three sets to a datagram."""
_APPLICATIONS = (
    "https", "http", "dns", "kafka-broker", "postgresql", "grpc.health.v1.Health", "redis", "prometheus-scrape", "ssh",
    "mysql-replica",
)  # fmt: skip
_INTERFACES = (*(f"eth{n}" for n in range(20)), *(f"GigabitEthernet0/{n}/{port}" for n in range(4) for port in range(12)))


@dataclass(frozen=True, slots=True)
class Input:
    """Datagrams of one kind.

    Attributes:
        payloads: all bytes, one datagram after the other.
        start, length: of each datagram in them.
        exporter: number of its sender, 0 … 7.
        flows: that it carries.
        greeting: so many datagrams at the beginning make every template known.
    """

    name: str
    payloads: npt.NDArray[np.uint8]
    start: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    exporter: npt.NDArray[np.int64]
    flows: npt.NDArray[np.int64]
    greeting: int = RUN * (EXPORTERS + 1)

    def __len__(self) -> int:
        return len(self.start)

    def upto(self, flows: int) -> int:
        """How many datagrams, behind the greeting, carry that many flows."""
        return int(np.searchsorted(np.cumsum(self.flows[self.greeting :]), flows, side="right"))


class _Stream:
    """Puts datagrams in their order; counts what each exporter has sent."""

    def __init__(self) -> None:
        self._payloads: list[bytes] = []
        self._flows: list[int] = []
        self.sent = np.zeros((2, EXPORTERS), np.int64)

    @property
    def exporter(self) -> int:
        """Whose turn it is."""
        return len(self._payloads) // RUN % EXPORTERS

    @property
    def datagrams(self) -> int:
        """How many datagrams that one has sent."""
        return int(self.sent[0, self.exporter])

    @property
    def records(self) -> int:
        """How many records that one has sent."""
        return int(self.sent[1, self.exporter])

    @property
    def refreshes(self) -> bool:
        """Whether its templates are due."""
        return self.datagrams % REFRESH == 0

    def add(self, payload: bytes, flows: int) -> None:
        """The next datagram."""
        self.sent[:, self.exporter] += 1, flows
        self._payloads.append(payload)
        self._flows.append(flows)

    def input(self, name: str) -> Input:
        """What was added."""
        length = np.array([len(payload) for payload in self._payloads])
        exporter = np.arange(len(length)) // RUN % EXPORTERS
        payloads = np.frombuffer(b"".join(self._payloads), np.uint8)
        return Input(name, payloads, np.cumsum(length) - length, length, exporter, np.array(self._flows))


def _set(number: int, content: bytes) -> bytes:
    return struct.pack("!HH", number, 4 + len(content)) + content


def _template(number: int, fields: Sequence[Field]) -> bytes:
    return struct.pack("!HH", number, len(fields)) + b"".join(struct.pack("!HH", *field[:2]) for field in fields)


def ipfix(total: int) -> Input:
    """22 fields in 78 bytes, 17 records to a datagram; 64-bit counters, times in ms, MAC addresses, sampling."""
    rows, each, stream = records(flows(total, 1), IPFIX), 17, _Stream()
    for first in range(0, total, each):
        body = _set(2, _template(256, IPFIX)) if stream.refreshes else b""
        body += _set(256, rows[first : first + each].tobytes())
        head = struct.pack("!HHIII", 10, 16 + len(body), START_S + first // 50_000, stream.records, stream.exporter + 1)
        stream.add(head + body, len(rows[first : first + each]))
    return stream.input("ipfix")


def netflow9(total: int) -> Input:
    """The same fields in 70 bytes with times of uptime, 19 to a datagram; the sampler's rate comes in options data."""
    rows, each, stream = records(flows(total, 2), NETFLOW9), 19, _Stream()
    options = struct.pack("!HHHHHHHHHHH", 257, 4, 12, 1, 4, 48, 1, 49, 1, 50, 4)
    rate = struct.pack("!IBBIxx", 1, 1, 2, 100)
    told = _set(0, _template(256, NETFLOW9)) + _set(1, options + bytes(2)) + _set(257, rate)
    for first in range(0, total, each):
        content = rows[first : first + each].tobytes()
        count = len(content) // rows.shape[1]
        body = (told if stream.refreshes else b"") + _set(256, content + bytes(-len(content) % 4))
        head = struct.pack("!HHIIII", 9, count + 3 * stream.refreshes, UPTIME_MS + first // 50, START_S + first // 50_000,
                           stream.datagrams, stream.exporter + 1)  # fmt: skip
        stream.add(head + body, count)
    return stream.input("netflow9")


def netflow5(total: int) -> Input:
    """Full datagrams of 30 records, sampled 1 in 100."""
    rows, each, stream = records(flows(total, 3), NETFLOW5), 30, _Stream()
    for first in range(0, total, each):
        count = len(rows[first : first + each])
        head = struct.pack("!HHIIIIBBH", 5, count, UPTIME_MS + first // 50, START_S + first // 50_000, 0, stream.records, 0,
                           stream.exporter, 0x4064)  # fmt: skip
        stream.add(head + rows[first : first + each].tobytes(), count)
    return stream.input("netflow5")


def sflow(total: int) -> Input:
    """Samples of 128-byte heads (802.1Q, IPv4, TCP/UDP) with a switch record, six to a datagram, of 48 ports each."""
    of = dict(flows(total, 4))
    number = np.arange(total)
    turn = number // (EXPORTERS * RUN * 6) * RUN * 6 + number % (RUN * 6)  # the number of the sample at its switch
    of["ip_bytes"] = np.minimum(1500, 46 + of["bytes"] // of["packets"])
    of |= {"frame": of["ip_bytes"] + 22, "port": turn % 48 + 1, "number": turn // 48 + 1, "pool": (turn // 48 + 1) * 1000}
    head: list[Field] = [
        (0, 4, 1), (0, 4, 208), (0, 4, "number"), (0, 4, "port"), (0, 4, 1000), (0, 4, "pool"), (0, 4, 0), (0, 4, "port"),
        (0, 4, "out_if"), (0, 4, 2),
        (0, 4, 1), (0, 4, 144), (0, 4, 1), (0, 4, "frame"), (0, 4, 4), (0, 4, 128),
        (0, 6, "dst_mac"), (0, 6, "src_mac"), (0, 2, 0x8100), (0, 2, "vlan"), (0, 2, 0x0800), (0, 1, 0x45), (0, 1, "tos"),
        (0, 2, "ip_bytes"), (0, 4, 0x4000), (0, 1, 63), (0, 1, "proto"), (0, 2, 0), (0, 4, "src"), (0, 4, "dst"),
        (0, 2, "src_port"), (0, 2, "dst_port"), (0, 8, 1), (0, 1, 0x50), (0, 1, "flags"), (0, 6, 0),
        *[(0, 8, 0)] * 8, (0, 6, 0),
        (0, 4, 1001), (0, 4, 16), (0, 4, "vlan"), (0, 4, 0), (0, 4, "vlan"), (0, 4, 0),
    ]  # fmt: skip
    rows, each, stream = records(of, head), 6, _Stream()
    assert rows.shape[1] == 216
    for first in range(0, total, each):
        count = len(rows[first : first + each])
        start = struct.pack(
            "!II4BIIII", 5, 1, 127, 0, 1, stream.exporter + 1, 0, stream.datagrams + 1, UPTIME_MS + first // 50, count
        )
        stream.add(start + rows[first : first + each].tobytes(), count)
    return stream.input("sflow")


def ipfix_variable(total: int) -> Input:
    """Six templates, two with IPv6, two strings in each record; three sets of four records to a datagram."""
    random = np.random.default_rng(5)
    share = total // len(VARIABLES) + 4
    names, applications = (_texts(random, texts, share * len(VARIABLES)) for texts in (_INTERFACES, _APPLICATIONS))
    waiting = {number: _rows(fields, share, number) for number, fields in VARIABLES.items()}
    templates = b"".join(_set(2, _template(number, fields)) for number, fields in VARIABLES.items())
    stream, turn, first = _Stream(), 0, 0
    while first < total:
        if stream.refreshes:
            stream.add(_message(templates, stream, first), 0)
        body, held = b"", 0
        for number in (300 + (turn + at) % len(VARIABLES) for at in range(3)):
            rows = [next(waiting[number]) for _ in range(min(4, total - first - held))]
            held += len(rows)
            body += _set(number, b"".join(row + names.pop() + applications.pop() for row in rows)) if rows else b""
        stream.add(_message(body, stream, first), held)
        turn, first = turn + 3, first + held
    return stream.input("ipfix-variable")


def _message(body: bytes, stream: _Stream, first: int) -> bytes:
    return struct.pack("!HHIII", 10, 16 + len(body), START_S + first // 50_000, stream.records, stream.exporter + 1) + body


def _rows(fields: Sequence[Field], count: int, seed: int) -> Iterator[bytes]:
    fixed = [field for field in fields if field[1] != VARIABLE]
    return (row.tobytes() for row in records(flows(count, seed), fixed))


def _texts(random: np.random.Generator, texts: Sequence[str], count: int) -> list[bytes]:
    """``count`` of the texts, each behind its length."""
    encoded = [bytes([len(text)]) + text.encode() for text in texts]
    return [encoded[number] for number in random.integers(0, len(texts), count).tolist()]


KINDS: Mapping[str, tuple[Callable[[int], Input], str]] = {
    "ipfix": (ipfix, "IPFIX, 22 fields"),
    "netflow9": (netflow9, "NetFlow v9, 22 fields"),
    "netflow5": (netflow5, "NetFlow v5"),
    "sflow": (sflow, "sFlow v5"),
    "ipfix-variable": (ipfix_variable, "IPFIX, variable length"),
}
"""By name: what makes it for a number of flows, and what people call it."""
