# SPDX-License-Identifier: Apache-2.0
"""What is remembered of each exporter: one stream for each (protocol, address, observation domain).

The source port is no part of the key: exporters behind address translation or with several processes change it, and their
templates would never be found (RFC 7011 §8 would have it in the session). Where two ports of one address give one template id
different layouts, there are two exporters: from then on the second port has a stream of its own (``split``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.wire.budget import Budget
from flowgauge.wire.connections import Connections
from flowgauge.wire.dialect import Dialect
from flowgauge.wire.exporter_rates import MAX_RATES_IN_ALL, MAX_RATES_OF_ADDRESS, ExporterRates
from flowgauge.wire.framing import NOT_TOLD
from flowgauge.wire.grouping import Index, group
from flowgauge.wire.layout import Layouts
from flowgauge.wire.pending import MAX_BYTES, MAX_BYTES_OF_ADDRESS, Pending
from flowgauge.wire.sequence import MAX_ASIDES, Asides, SequenceState
from flowgauge.wire.templates import Templates

MAX_STREAMS = 65_536
"""Streams remembered; about 3 KiB each with a handful of templates."""
MAX_STREAMS_OF_ADDRESS = 1024
"""Streams of one address; beyond it its own least recently heard goes, so that no exporter pushes out another's."""
MAX_FIELDS_IN_ALL = 4 << 20
"""Template fields remembered of all streams: 100,000 templates of 40; at worst, none alike, about 100 bytes each."""
MAX_FIELDS_OF_ADDRESS = 1 << 19
MAX_SPLITS = 16
"""Source ports of one address and domain with a stream of their own."""
MAX_ALIASES = 64
"""Exporters' addresses remembered of one stream; a relay of more still works, only their names are not joined."""
PROVEN_NS = 60_000_000_000
"""An address heard for so long gives way to newer ones last: whoever reaches the port can invent addresses by the thousand."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all streams of one address share: dialect, layouts, budgets of waiting bytes and of template fields, rates."""

    dialect: Dialect
    layouts: Layouts
    waiting: Budget
    fields: Budget
    rates: ExporterRates
    asides: Asides

    def share(self) -> Shared:
        """Of what all addresses share, the part of one."""
        return Shared(
            self.dialect,
            self.layouts,
            Budget(MAX_BYTES_OF_ADDRESS, self.waiting),
            Budget(MAX_FIELDS_OF_ADDRESS, self.fields),
            ExporterRates(Budget(MAX_RATES_OF_ADDRESS, self.rates.room)),
            Asides(maxlen=MAX_ASIDES),
        )


@dataclass(slots=True)
class Uptime:
    """The clock of a stream: where it was compared last, when that was by our clock, and whether it counts seconds."""

    export_s: int = -1
    received_ns: int = 0
    units: int = 0
    in_seconds: bool = False


class Stream:
    """One observation domain of one exporter.

    Attributes:
        exporter_addr: 16 bytes.
        domain: observation domain.
        port: source port, when it was split from others of the address; else 0.
        boot_ms: when the exporter started, ms since 1970, as it told in options data, else ``NOT_TOLD``.
        heard_ns: when its latest message came.
        skew_ns: how far the message's export time was behind that (its clock's error, and up to a second).
        aliases: addresses that its records give for their exporter (elements 130, 131), as relays' and many routers' do.
        rates, exporter_rates: what it told of its sampling, and what all domains of its exporter did.
        uptime: how its clock counts (NetFlow v9).
        only_tells: whether this is domain 0 and had nothing but options data so far, which in IPFIX are of the exporter as a
            whole (RFC 7011 §3.1).
        asides: of its exporter, see ``sequence``.
        said: what it told of its own losses and exports, by IANA name (RFC 5982 §4.2's and RFC 5153's counters).
    """

    __slots__ = (
        "aliases", "asides", "boot_ms", "domain", "exporter_addr", "exporter_rates", "heard_ns", "only_tells", "pending",
        "port", "rates", "said", "sequence", "skew_ns", "templates", "uptime",
    )  # fmt: skip

    def __init__(self, exporter_addr: bytes, domain: int, port: int, shared: Shared) -> None:
        self.exporter_addr, self.domain, self.port = exporter_addr, domain, port
        self.templates = Templates(shared.dialect.definitions, shared.layouts, shared.fields)
        self.sequence = SequenceState(shared.dialect.gap_counter, shared.asides)
        self.asides = shared.asides
        self.only_tells = domain == 0
        self.pending = Pending(shared.waiting)
        self.boot_ms = NOT_TOLD
        self.heard_ns = self.skew_ns = 0
        self.rates, self.exporter_rates = shared.rates.join(), shared.rates
        self.uptime = Uptime()
        self.said: dict[str, int] = {}
        self.aliases: dict[bytes, None] = {}

    def know_as(self, addr: bytes) -> None:
        """Remembers an address that records give for their exporter."""
        if len(self.aliases) < MAX_ALIASES and addr != self.exporter_addr:
            self.aliases[addr] = None

    def clear(self) -> None:
        """Gives back what it keeps of budgets that are shared."""
        self.templates.clear()
        self.exporter_rates.leave(self.rates)


class _Exporter:
    """One address: its streams by (domain, port), least recently heard first, and the ports that were split, by domain."""

    __slots__ = ("first_ns", "shared", "splits", "streams")

    def __init__(self, shared: Shared, first_ns: int) -> None:
        self.shared, self.first_ns = shared, first_ns
        self.streams: OrderedDict[tuple[int, int], Stream] = OrderedDict()
        self.splits: dict[int, set[int]] = {}

    def latest(self, domain: int) -> Stream:
        """Of a domain that was split, the stream whose templates were announced last: what a port unheard of may go by."""
        return max(
            (self.streams[domain, port] for port in self.splits[domain]), key=lambda stream: stream.templates.announced_ns
        )

    def oldest(self) -> Stream:
        """Forgets the stream not heard of for longest."""
        (domain, port), stream = self.streams.popitem(last=False)
        if port:
            self.splits[domain].discard(port)
            if not self.splits[domain]:
                del self.splits[domain]
        stream.clear()
        return stream


class Streams:
    """All streams of one protocol.

    Attributes:
        connections: of firewalls, see ``connections``.
    """

    def __init__(self, dialect: Dialect, layouts: Layouts) -> None:
        rates = ExporterRates(Budget(MAX_RATES_IN_ALL))
        self._all = Shared(dialect, layouts, Budget(MAX_BYTES), Budget(MAX_FIELDS_IN_ALL), rates, Asides())
        self._new: OrderedDict[bytes, _Exporter] = OrderedDict()
        self._proven: OrderedDict[bytes, _Exporter] = OrderedDict()
        self._recent: set[bytes] = set()
        self._count = 0
        self.connections: Connections = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Stream]:
        for exporters in (self._new, self._proven):
            for exporter in exporters.values():
                yield from exporter.streams.values()

    def of(
        self,
        senders: npt.NDArray[np.uint8],
        domains: npt.NDArray[np.uint32],
        ports: npt.NDArray[np.uint16] | None = None,
        now_ns: int = 0,
    ) -> tuple[list[Stream], Index]:
        """The streams of messages, and for each message the index of its stream.

        Args:
            senders: uint8 (n, 16) source addresses.
            domains: uint32 (n,) observation domains.
            ports: uint16 (n,) source ports; None: they do not matter.
            now_ns: when the messages were received.
        """
        keys = np.empty((len(domains), 3), np.uint64)
        keys[:, :2] = np.ascontiguousarray(senders).view(np.uint64)
        keys[:, 2] = domains
        first, index = group(keys)
        streams: list[Stream] = []
        mixed: list[tuple[int, _Exporter, int]] = []
        for number, row in enumerate(first.tolist()):
            addr, domain = senders[row].tobytes(), int(domains[row])
            exporter = self._exporter(addr, now_ns)
            if domain in exporter.splits:
                mixed.append((number, exporter, domain))
                streams.append(exporter.latest(domain))
            else:
                streams.append(self._get(exporter, addr, domain, 0))
        if mixed and ports is not None:
            groups = index
            index = groups.copy()
            for number, exporter, domain in mixed:
                rows = np.flatnonzero(groups == number)
                for port in exporter.splits[domain].intersection(ports[rows].tolist()):
                    index[rows[ports[rows] == port]] = len(streams)
                    streams.append(self._get(exporter, streams[number].exporter_addr, domain, port))
        return streams, index

    def get(self, addr: bytes, domain: int, port: int, now_ns: int) -> Stream:
        """One stream, made if there is none."""
        exporter = self._exporter(addr, now_ns)
        if port:
            exporter.splits.setdefault(domain, set()).add(port)
        return self._get(exporter, addr, domain, port)

    def split(self, stream: Stream, former: int, port: int) -> Stream | None:
        """A stream for one source port alone, which begins with what was known; None when there are too many already.

        Args:
            stream: of the address and domain; it stays that of the port ``former``, if it was not that of one port before.
            former: port that announced what ``port`` contradicts.
            port: the new stream's.
        """
        addr, domain = stream.exporter_addr, stream.domain
        exporter = self._exporter(addr, 0)
        if len(exporter.splits.get(domain, ())) >= MAX_SPLITS:
            return None
        if not stream.port:
            exporter.streams[domain, former] = exporter.streams.pop((domain, 0))
            exporter.splits[domain] = {former}
            stream.port = former
        child = self.get(addr, domain, port, 0)
        child.boot_ms = stream.boot_ms
        child.exporter_rates.take_over(child.rates, stream.rates)
        for held in stream.templates:
            child.templates.take_over(held.template.template_id, held.template.layout, announced_ns=held.announced_ns)
        return child

    def trim(self) -> list[Stream]:
        """Forgets streams down to the bounds; returns them, so that their losses are counted."""
        evicted = []
        for addr in self._recent:
            exporter = self._new.get(addr) or self._proven[addr]
            while len(exporter.streams) > MAX_STREAMS_OF_ADDRESS or (
                exporter.shared.fields.left < 0 < len(exporter.streams) - 1
            ):
                evicted.append(exporter.oldest())
                self._count -= 1
        self._recent.clear()
        while self._count > MAX_STREAMS or (self._all.fields.left < 0 and self._count > 1):
            exporters = self._new or self._proven
            addr, exporter = next(iter(exporters.items()))
            evicted.append(exporter.oldest())
            self._count -= 1
            if not exporter.streams:
                del exporters[addr]
        return evicted

    def _exporter(self, addr: bytes, now_ns: int) -> _Exporter:
        """What is known of an address, now the most recently heard."""
        self._recent.add(addr)
        exporter = self._proven.get(addr)
        if exporter is not None:
            self._proven.move_to_end(addr)
            return exporter
        exporter = self._new.get(addr)
        if exporter is None:
            exporter = self._new[addr] = _Exporter(self._all.share(), now_ns)
        elif now_ns - exporter.first_ns >= PROVEN_NS:
            self._proven[addr] = self._new.pop(addr)
        else:
            self._new.move_to_end(addr)
        return exporter

    def _get(self, exporter: _Exporter, addr: bytes, domain: int, port: int) -> Stream:
        stream = exporter.streams.get((domain, port))
        if stream is None:
            stream = exporter.streams[domain, port] = Stream(addr, domain, port, exporter.shared)
            self._count += 1
        else:
            exporter.streams.move_to_end((domain, port))
        return stream
