# SPDX-License-Identifier: Apache-2.0
"""What a store answers: groups with their sums, series, and how exact scaled sums are. The same for every backend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowgauge.schema.flow_query import Measure


@dataclass(frozen=True, slots=True)
class Sampling:
    """How exact the scaled sums of a group are.

    Packets are sampled 1 of N at random, so N·k for k observed packets has the variance N·(N-1)·k (Bernoulli sampling,
    Horvitz-Thompson estimate); a flow's bytes the same times the square of its mean packet size, which understates mixed
    sizes within one flow. Segments of a super-packet (segmentation offload) are sampled one by one by our agents. With one N
    everywhere the 95 % error of packets is 1.96·sqrt((1 - 1/N)/k), at most 1.96·sqrt(1/k).

    Where chance keeps or leaves whole connections (``samplingMode: flow``, and flows that the collector thinned), the variance
    is the sum over those kept of N·(N-1)·x², x being all that was counted of one. Of few and unequal connections the
    interval covers less than 95 %: what was not drawn is not known.

    Attributes:
        packets_variance, bytes_variance: sums of these over the rows.
        sampled, unsampled, unknown: rows with N > 1, N = 1 and N not known.
    """

    packets_variance: float = 0.0
    bytes_variance: float = 0.0
    sampled: int = 0
    unsampled: int = 0
    unknown: int = 0

    @property
    def approx(self) -> bool:
        """Whether sums are estimates (shown with ≈)."""
        return self.sampled > 0

    @property
    def mixed(self) -> bool:
        """Whether flows of known and of unknown sampling are summed: the latter are counted as they came."""
        return self.unknown > 0 and self.sampled + self.unsampled > 0

    def error(self, measure: Measure, value: float) -> float | None:
        """Half the width of the 95 % interval of ``value``, relative to it.

        0 for exact sums; None where none can be given: the number of flows under sampling, or unknown sampling only.
        """
        variance = {Measure.BYTES: self.bytes_variance, Measure.PACKETS: self.packets_variance}.get(measure)
        if not self.approx:
            return None if self.unknown and not self.unsampled else 0.0
        if variance is None or value <= 0:
            return None
        return 1.96 * math.sqrt(variance) / value

    def words(self) -> str:
        """One sentence for people; empty when the sums are exact."""
        parts = []
        if self.approx:
            parts.append("sums are scaled estimates of sampled packets; short flows may be missing")
        if self.mixed:
            parts.append(f"{self.unknown} flows of unknown sampling are counted as they came")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Group:
    """One group of flows.

    Attributes:
        key: public column name → value as in the JSON of a flow (text, integer), None where absent.
        values: measure → sum over the window, scaled by sampling; ``rtt_avg_ns`` is the mean over the flows that have one,
            None when none has.
        series: measure → one value a time bin, for a query with ``step_ms``; None where a mean has nothing to be of.
    """

    key: Mapping[str, Any]
    values: Mapping[Measure, float | int | None]
    sampling: Sampling = field(default_factory=Sampling)
    series: Mapping[Measure, list[float | None]] = field(default_factory=dict)

    def error(self, measure: Measure) -> float | None:
        """See ``Sampling.error``."""
        return self.sampling.error(measure, float(self.values.get(measure) or 0))


@dataclass(frozen=True, slots=True)
class Answer:
    """The groups of a query, largest first.

    Attributes:
        groups: at most ``query.limit``; one with an empty key for a query without ``group_by``.
        others: the sum of all further groups; its ``rtt_avg_ns`` is None.
        group_count: how many groups there are in all.
        total: the sum of everything.
        times_ms: start of each time bin, for a query with ``step_ms``.
    """

    groups: tuple[Group, ...]
    others: Group
    total: Group
    group_count: int
    times_ms: tuple[int, ...] = ()
    step_ms: int = 0


DNS_KIND, SUBNET_KIND, NODE_KIND = "DNS", "Subnet", "Node"
"""``End.kind`` of a peer that goes by what its clients resolved, of one that goes by its subnet's label, and of a node."""
PUBLIC_KIND, PRIVATE_KIND = "Public", "Private"
"""``End.kind`` of all addresses without a name that are public, and of those that are private (``schema.reach``)."""
LARGEST_ADDRESSES = 3
"""As many addresses of an end without a name are told: what is read at a glance."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of an edge: a workload, else a named peer (node, service), a name from DNS, a subnet, or addresses only.

    ``kind`` is the workload's or the peer's kind, ``DNS_KIND``, ``SUBNET_KIND``, or of addresses without a name
    ``PUBLIC_KIND``, ``PRIVATE_KIND`` or empty for what is no host's; ``layer`` is ``app``, ``infra`` or empty.
    """

    namespace: str
    name: str
    kind: str
    layer: str


@dataclass(frozen=True, slots=True)
class Latency:
    """A latency of an edge in ns at the end of the window and before; None: not measured.

    Both are medians, or both lower quartiles where these have grown more; round trips are those of the end that sees less.
    ``slices`` has the same of each slice of ``slice_ms`` in which something was measured, by its start (ms since 1970).
    """

    now_ns: float | None = None
    before_ns: float | None = None
    slices: tuple[tuple[int, float], ...] = ()
    slice_ms: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """When something was seen first and last within the window, ms since 1970; 0: never.

    ``slices`` are the starts of the slices of ``slice_ms`` in which it was seen, in order.
    """

    first_ms: int = 0
    last_ms: int = 0
    slices: tuple[int, ...] = ()
    slice_ms: int = 0


RECENT_MS = 15_000
"""What counts as now: a few export intervals before the end of the window."""


@dataclass(frozen=True, slots=True)
class Recent:
    """What was counted in the last ``RECENT_MS`` of the window; drops without those that had come before."""

    packets: int = 0
    drop_packets: int = 0
    retransmits: int = 0
    made: int = 0


@dataclass(frozen=True, slots=True)
class EdgeSignals:
    """How well it went between a client and a server.

    Attributes:
        rtt, dns, server: round trips, waits for answers of DNS, longest server times.
        refused, unanswered: ends of connections that nobody listened for, and that nobody answered.
        dns_lost: DNS questions without an answer.
        drop_cause, drop_node: the kernel's name of the latest drops' reason, and the node that dropped; empty: none.
        drop_to_server: whether these were on the way to the server.
        drop_again: dropped packets of another reason than ``drop_cause``, namely that they had come before.
        turned_back, turned_back_by: packets to the server of which ICMP said that they cannot arrive, and its word for it.
        hops_ended: packets to the server whose hops ended on the way, as those of a traceroute.
        made: connections that were made and used.
        answered_ms: when the server was last seen to send something, ms since 1970; 0: never.
        recent: counts of the last seconds.
        active: when flows of it were seen at all.
        seen: when ``refused``, ``unanswered``, ``dns_lost``, ``drops``, ``retransmits`` and ``turned_back`` were.
    """

    rtt: Latency = Latency()
    dns: Latency = Latency()
    server: Latency = Latency()
    refused: int = 0
    unanswered: int = 0
    dns_lost: int = 0
    drop_cause: str = ""
    drop_node: str = ""
    drop_to_server: bool = False
    drop_again: int = 0
    turned_back: int = 0
    turned_back_by: str = ""
    hops_ended: int = 0
    made: int = 0
    answered_ms: int = 0
    recent: Recent = Recent()
    active: Span = Span()
    seen: Mapping[str, Span] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Those of an end without a name: the ``largest``, that with most bytes first, of about ``count``; 0: it has a name."""

    largest: tuple[str, ...] = ()
    count: int = 0


@dataclass(frozen=True, slots=True)
class Edge:
    """What a client and a server exchanged, both directions together.

    ``schema.roles`` says which end is the server. ``port`` is where the server listens, None for protocols without ports;
    ``asked_ports`` what clients were seen to ask for where that is another one, as the ports of Services, in ascending order;
    ``service`` is the service through which the server was reached, or empty. Sums are scaled by sampling. ``client_addrs`` and
    ``server_addrs`` are the addresses of ends of which nothing else is known.
    """

    client: End
    server: End
    port: int | None
    proto: int
    service: str
    bytes: int
    packets: int
    flows: int
    bytes_to_server: int
    retransmits: int
    drop_packets: int
    rtt_avg_ns: float | None
    sampling: Sampling
    signals: EdgeSignals = EdgeSignals()
    client_addrs: Addresses = Addresses()
    server_addrs: Addresses = Addresses()
    asked_ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Edges:
    """The largest edges; ``others`` sums what the further ones hold: bytes, packets and flows."""

    edges: tuple[Edge, ...]
    edge_count: int
    others: Mapping[Measure, int]
