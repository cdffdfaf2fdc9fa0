# SPDX-License-Identifier: Apache-2.0
"""The conversations of the last while, made of rows of flows: what ``flowgauge top`` shows. Pure; one thread.

A conversation is a client, a server, a protocol and the server's port: connections of a client to the same service are one
line. Bounded: the smallest of the oldest go when there are too many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from flowgauge.cli import flow_text
from flowgauge.cli.flow_text import Detail, Row
from flowgauge.schema.columns import BY_NAME
from flowgauge.schema.flow_query import Measure

WINDOW_S = 10.0
"""Length of the past that rates are of."""
MAX_CONVERSATIONS = 5_000
MAX_FLOWS_KEPT = 20
"""Newest flows of a conversation that its details show."""

_WANTED = (
    "time_end_ns", "duration_ns", "src_addr", "dst_addr", "src_port", "dst_port", "proto", "icmp_type", "tcp_flags", "bytes",
    "packets", "sampling_rate", "flow_direction", "node_reporter", "rtt_min_ns", "rtt_avg_ns", "rtt_max_ns", "handshake_ns",
    "retransmits", "drop_packets", "drop_cause", "tcp_state_final", "dns_name", "dns_rcode", "dns_latency_ns",
    "server_time_avg_ns", "server_time_max_ns", "service_port", "target_port", "post_nat_dst_addr",
    *(f"{end}_{part}" for end in ("src", "dst") for part in
      ("namespace", "name", "owner", "service", "subnet", "dns_name", "process", "pid")),
)  # fmt: skip
NEEDED = tuple(name for name in _WANTED if name in BY_NAME)
"""Columns of which lines and details are made."""


class Order(StrEnum):
    """What lines are sorted by, largest first."""

    RATE = "rate"
    RTT = "rtt"
    RETRANSMITS = "retransmits"
    DROPS = "drops"


FAILURES = {"refused": "refused", "reset": "reset", "timeout": "timed out", "unreachable": "unreachable"}
"""Ends of connections that nobody wants, in words."""

Key = tuple[str, str, int, int]
"""Client, server, protocol, the server's port (-1 without one)."""


@dataclass(slots=True)
class Sums:
    """What flows of one direction or both add up to; ``approx`` once a flow was sampled."""

    to_server_bytes: int = 0
    to_client_bytes: int = 0
    packets: int = 0
    retransmits: int = 0
    drop_packets: int = 0
    approx: bool = False

    def add(self, row: Row, *, reply: bool) -> None:
        """Adds one flow."""
        size = flow_text.scaled(row, Measure.BYTES)
        if reply:
            self.to_client_bytes += size
        else:
            self.to_server_bytes += size
        self.packets += flow_text.scaled(row, Measure.PACKETS)
        self.retransmits += int(row.get("retransmits") or 0)
        self.drop_packets += int(row.get("drop_packets") or 0)
        self.approx |= int(row.get("sampling_rate") or 1) > 1

    def include(self, other: Sums) -> None:
        """Adds another sum."""
        self.to_server_bytes += other.to_server_bytes
        self.to_client_bytes += other.to_client_bytes
        self.packets += other.packets
        self.retransmits += other.retransmits
        self.drop_packets += other.drop_packets
        self.approx |= other.approx

    @property
    def bytes(self) -> int:
        """Of both directions."""
        return self.to_server_bytes + self.to_client_bytes


@dataclass(slots=True)
class Conversation:
    """One line.

    Attributes:
        client, server: as people name them.
        port: the service port in words.
        process: program and pid of an end on an observed machine, where known.
        rtt_ns, server_ns: newest mean round trip, and time the server took; 0 where not measured.
        cause: newest words for what failed; empty when nothing did.
        flows: the newest ones, newest last.
    """

    client: str
    server: str
    port: str
    process: str = ""
    rtt_ns: int = 0
    server_ns: int = 0
    cause: str = ""
    seen_s: float = 0.0
    past: deque[tuple[float, Sums]] = field(default_factory=deque)
    flows: deque[Row] = field(default_factory=lambda: deque(maxlen=MAX_FLOWS_KEPT))

    def add(self, row: Row, now_s: float, *, reply: bool) -> None:
        """Adds a flow that was exported at ``now_s``."""
        if not self.past or self.past[-1][0] != now_s:
            self.past.append((now_s, Sums()))
        self.past[-1][1].add(row, reply=reply)
        self.seen_s = now_s
        self.flows.append(row)
        self.rtt_ns = int(row.get("rtt_avg_ns") or self.rtt_ns)
        self.server_ns = int(row.get("server_time_avg_ns") or self.server_ns)
        self.process = _process(row) or self.process
        self.cause = cause(row) or self.cause

    def sums(self) -> Sums:
        """Of the whole window."""
        total = Sums()
        for _, part in self.past:
            total.include(part)
        return total


@dataclass(frozen=True, slots=True)
class Line:
    """A conversation with its sums at one moment."""

    key: Key
    conversation: Conversation
    sums: Sums
    seconds: float

    @property
    def bytes_per_s(self) -> float:
        """Both directions."""
        return self.sums.bytes / self.seconds


class Conversations:
    """Adds flows up; ``lines`` is what to show."""

    def __init__(self) -> None:
        self._all: dict[Key, Conversation] = {}
        self._since_s: float | None = None
        self.left_out = 0
        """Conversations that were forgotten because there were too many."""

    def add(self, rows: Iterable[Row], now_s: float) -> None:
        """Adds flows that were exported at ``now_s`` (any clock, in seconds)."""
        self._since_s = now_s if self._since_s is None else self._since_s
        for row in rows:
            reply = flow_text.is_reply(row)
            key = _key(row, reply=reply)
            found = self._all.get(key)
            if found is None:
                found = self._all[key] = _conversation(row, reply=reply)
            found.add(row, now_s, reply=reply)
        self._forget(now_s)

    def lines(self, order: Order, now_s: float) -> list[Line]:
        """Largest first; what has been silent for a window is gone."""
        self._forget(now_s)
        seconds = min(WINDOW_S, max(1.0, now_s - (self._since_s if self._since_s is not None else now_s)))
        lines = [Line(key, one, one.sums(), seconds) for key, one in self._all.items()]
        lines.sort(key=lambda line: (_rank(line, order), line.sums.bytes), reverse=True)
        return lines

    def find(self, key: Key) -> Conversation | None:
        """The conversation of a line; None when it is gone."""
        return self._all.get(key)

    def clear(self) -> None:
        """Forgets everything, as when another filter begins."""
        self._all.clear()
        self._since_s = None

    def _forget(self, now_s: float) -> None:
        for key, one in list(self._all.items()):
            while one.past and one.past[0][0] <= now_s - WINDOW_S:
                one.past.popleft()
            if not one.past:
                del self._all[key]
        if len(self._all) > MAX_CONVERSATIONS:
            by_size = sorted(self._all, key=lambda key: self._all[key].sums().bytes)
            for key in by_size[: len(self._all) - MAX_CONVERSATIONS]:
                del self._all[key]
                self.left_out += 1


def cause(row: Row) -> str:
    """What failed with this flow, in words; empty when nothing did."""
    if row.get("drop_packets"):
        return f"dropped: {row.get('drop_cause') or 'unknown reason'}"
    state = str(row.get("tcp_state_final") or "")
    if state in FAILURES:
        return FAILURES[state]
    if (rcode := str(row.get("dns_rcode") or "")) not in ("", "NOERROR"):
        return f"{row.get('dns_name') or 'DNS'}: {rcode}"
    if retransmits := int(row.get("retransmits") or 0):
        return f"sent again: {retransmits}"
    return ""


def _rank(line: Line, order: Order) -> float:
    match order:
        case Order.RATE:
            return line.bytes_per_s
        case Order.RTT:
            return line.conversation.rtt_ns
        case Order.RETRANSMITS:
            return line.sums.retransmits
        case Order.DROPS:
            return line.sums.drop_packets


def _key(row: Row, *, reply: bool) -> Key:
    client, server = _ends(reply=reply)
    port = row.get("target_port") or row.get(f"{server}_port")
    return _end(row, client), _end(row, server), int(row.get("proto") or 0), -1 if port is None else int(port)


def _conversation(row: Row, *, reply: bool) -> Conversation:
    client, server = _ends(reply=reply)
    return Conversation(_end(row, client), _end(row, server), flow_text.service_port(row).removesuffix(" reply"))


def _ends(*, reply: bool) -> Sequence[str]:
    return ("dst", "src") if reply else ("src", "dst")


def _end(row: Row, side: str) -> str:
    """Packets to an address that is translated are of the same conversation as those to where they go."""
    behind = row.get("post_nat_dst_addr")
    if side == "dst" and behind:
        row = {**row, "dst_addr": behind}
    return flow_text.end(row, side, Detail.EXACT)


def _process(row: Row) -> str:
    for side in ("src", "dst"):
        if name := row.get(f"{side}_process"):
            pid = row.get(f"{side}_pid")
            return f"{name}[{pid}]" if pid else str(name)
    return ""
