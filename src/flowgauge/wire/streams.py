# SPDX-License-Identifier: Apache-2.0
"""What is remembered of each exporter: one stream for each (address, version, observation domain).

The source port is no part of the key: exporters behind address translation or with several processes change it, and their
templates would never be found (RFC 7011 §8 would have it in the session).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from flowgauge.wire.grouping import Index, group
from flowgauge.wire.layout import Layouts
from flowgauge.wire.pending import Budget, Pending
from flowgauge.wire.sequence import SequenceState
from flowgauge.wire.templates import Templates

MAX_STREAMS = 65_536
"""Streams remembered; beyond it the one not heard of for longest goes. About 3 KiB each with a handful of templates."""

StreamKey = tuple[bytes, int, int]


class Stream:
    """One observation domain of one exporter.

    Attributes:
        exporter_addr: 16 bytes.
        domain: observation domain.
        boot_ms: when the exporter started, ms since 1970, as it told in options data; 0 = it did not.
    """

    __slots__ = ("boot_ms", "domain", "exporter_addr", "pending", "sequence", "templates")

    def __init__(self, exporter_addr: bytes, domain: int, layouts: Layouts, budget: Budget) -> None:
        self.exporter_addr, self.domain = exporter_addr, domain
        self.templates = Templates(layouts)
        self.sequence = SequenceState()
        self.pending = Pending(budget)
        self.boot_ms = 0


class Streams:
    """All streams, least recently heard first."""

    def __init__(self, layouts: Layouts) -> None:
        self._layouts, self._budget = layouts, Budget()
        self._streams: OrderedDict[StreamKey, Stream] = OrderedDict()
        self.evicted: list[Stream] = []

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._streams.values())

    def of(self, version: int, senders: npt.NDArray[np.uint8], domains: npt.NDArray[np.uint32]) -> tuple[list[Stream], Index]:
        """The streams of messages, and for each message the index of its stream.

        Args:
            version: protocol version of all of them.
            senders: uint8 (n, 16) source addresses.
            domains: uint32 (n,) observation domains.
        """
        keys = np.empty((len(domains), 3), np.uint64)
        keys[:, :2] = np.ascontiguousarray(senders).view(np.uint64)
        keys[:, 2] = domains
        first, index = group(keys)
        streams = [self._get((senders[row].tobytes(), version, int(domains[row]))) for row in first.tolist()]
        return streams, index

    def _get(self, key: StreamKey) -> Stream:
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Stream(key[0], key[2], self._layouts, self._budget)
            if len(self._streams) > MAX_STREAMS:
                self.evicted.append(self._streams.popitem(last=False)[1])
        else:
            self._streams.move_to_end(key)
        return stream
