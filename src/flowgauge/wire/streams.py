# SPDX-License-Identifier: Apache-2.0
"""What is remembered of each exporter: one stream for each (protocol, address, observation domain).

The source port is no part of the key: exporters behind address translation or with several processes change it, and their
templates would never be found (RFC 7011 §8 would have it in the session).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.wire.budget import Budget
from flowgauge.wire.dialect import Dialect
from flowgauge.wire.framing import NOT_TOLD
from flowgauge.wire.grouping import Index, group
from flowgauge.wire.layout import Layouts
from flowgauge.wire.pending import MAX_BYTES, Pending
from flowgauge.wire.sequence import SequenceState
from flowgauge.wire.templates import Templates

MAX_STREAMS = 65_536
"""Streams remembered; beyond it the one not heard of for longest goes. About 3 KiB each with a handful of templates."""

MAX_FIELDS_IN_ALL = 4 << 20
"""Template fields remembered of all streams: 100,000 templates of 40; at worst, none alike, about 100 bytes each."""

StreamKey = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class Shared:
    """What all streams of one protocol share: its dialect, layouts, and budgets of waiting bytes and of template fields."""

    dialect: Dialect
    layouts: Layouts
    waiting: Budget
    fields: Budget


class Stream:
    """One observation domain of one exporter.

    Attributes:
        exporter_addr: 16 bytes.
        domain: observation domain.
        boot_ms: when the exporter started, ms since 1970, as it told in options data, else ``NOT_TOLD``.
    """

    __slots__ = ("boot_ms", "domain", "exporter_addr", "pending", "sequence", "templates")

    def __init__(self, exporter_addr: bytes, domain: int, shared: Shared) -> None:
        self.exporter_addr, self.domain = exporter_addr, domain
        self.templates = Templates(shared.dialect.definitions, shared.layouts, shared.fields)
        self.sequence = SequenceState(shared.dialect.gap_counter)
        self.pending = Pending(shared.waiting)
        self.boot_ms = NOT_TOLD


class Streams:
    """All streams of one protocol, least recently heard first."""

    def __init__(self, dialect: Dialect, layouts: Layouts) -> None:
        self._shared = Shared(dialect, layouts, Budget(MAX_BYTES), Budget(MAX_FIELDS_IN_ALL))
        self._streams: OrderedDict[StreamKey, Stream] = OrderedDict()

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._streams.values())

    def of(self, senders: npt.NDArray[np.uint8], domains: npt.NDArray[np.uint32]) -> tuple[list[Stream], Index]:
        """The streams of messages, and for each message the index of its stream.

        Args:
            senders: uint8 (n, 16) source addresses.
            domains: uint32 (n,) observation domains.
        """
        keys = np.empty((len(domains), 3), np.uint64)
        keys[:, :2] = np.ascontiguousarray(senders).view(np.uint64)
        keys[:, 2] = domains
        first, index = group(keys)
        streams = [self._get((senders[row].tobytes(), int(domains[row]))) for row in first.tolist()]
        return streams, index

    def trim(self) -> list[Stream]:
        """Forgets the streams not heard of for longest, down to the bounds; returns them, so that their losses are counted."""
        evicted = []
        while len(self._streams) > MAX_STREAMS or (self._shared.fields.left < 0 and len(self._streams) > 1):
            _, stream = self._streams.popitem(last=False)
            stream.templates.clear()
            evicted.append(stream)
        return evicted

    def _get(self, key: StreamKey) -> Stream:
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Stream(*key, self._shared)
        else:
            self._streams.move_to_end(key)
        return stream
