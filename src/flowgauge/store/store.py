# SPDX-License-Identifier: Apache-2.0
"""The one interface of every store: what the collector writes to and what the query layer asks.

Before in the path: ``collector.writer``; after it: ``query``. All methods may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.flow_query import FlowQuery, Window
from flowgauge.store.answer import Answer, Edges

KERNEL = "kernel"
"""Component of the ledger's rows that are no part of ours: what a node's kernel counts, whose instance is the node's name."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A counter's cumulative value at one time (ms since 1970) of one part's instance (``node-a@<start ms>``)."""

    time_ms: int
    component: str
    instance: str
    counter: str
    value: int


@dataclass(frozen=True, slots=True)
class LedgerChange:
    """How far a counter of one instance went within a window, and its largest value there.

    ``reached_ms`` is when it had that value first, ``told_ms`` when it was told last, ms since 1970, and ``latest`` what it was
    then: less than ``value`` where it may fall.
    """

    component: str
    instance: str
    counter: str
    change: int
    value: int
    reached_ms: int = 0
    told_ms: int = 0
    latest: int = 0


@dataclass(frozen=True, slots=True)
class LedgerStep:
    """How far counters of one instance went within one step of time, and the largest value there.

    ``name`` is theirs up to ``@``: those of several devices together; ``start_ms`` the step's begin, ms since 1970.
    """

    instance: str
    name: str
    start_ms: int
    moved: int
    largest: int


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How a store stands.

    Attributes:
        engine: name and version.
        embedded: whether it is our own process.
        rows, disk_bytes, parts: of the flows.
        oldest_ms, newest_ms: times of the flows, 0 when there are none.
        detached_parts: parts the engine set aside: above 0, rows are missing.
        problem: one sentence when it refuses writes, else empty.
    """

    engine: str
    embedded: bool
    rows: int
    disk_bytes: int
    parts: int
    oldest_ms: int
    newest_ms: int
    detached_parts: int
    problem: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Flows that stay until they are removed, whatever their age: of old captures, of an incident.

    Attributes:
        name: lower-case letters, digits, ``_`` and ``-``.
        flows, disk_bytes: its size.
        oldest_ms, newest_ms: times of its flows, ms since 1970, to the second; 0 when there are none.
    """

    name: str
    flows: int
    disk_bytes: int
    oldest_ms: int
    newest_ms: int


class FlowStore(Protocol):
    """A store of flows."""

    def migrate(self) -> None:
        """Makes or updates the tables; harmless when repeated."""

    def write(self, batch: FlowBatch, token: str) -> int:
        """Stores a normalised batch and returns its rows: durable and queryable when it returns.

        Args:
            batch: with physical columns; what the store has no column for is left out.
            token: names this batch; a repeated token adds nothing, so a retry is harmless.

        Raises:
            StoreUnavailable: not now (also StoreFull); keep the batch and call again with the same token.
            StoreRejected: never; count the rows as failed.
        """

    def write_pieces(self, pieces: Iterable[FlowBatch], token: str) -> int:
        """``write`` of a batch that comes in pieces, so that not all of it need be in memory at once; all are one insert.

        When it raises, the pieces are to be given anew with the next try.
        """

    def write_ledger(self, rows: Sequence[LedgerRow]) -> None:
        """Appends counters' values; raises as ``write`` does."""

    def query(self, query: FlowQuery) -> Answer:
        """Sums by groups, or over time with ``step_ms``; without ``group_by`` one group of everything.

        Raises:
            UsageError: a column is unknown or not stored, or the question is too large.
            StoreUnavailable: not now.
        """

    def flows(self, query: FlowQuery) -> FlowBatch:
        """The newest ``limit`` flows, newest first, with physical columns; raises as ``query`` does."""

    def edges(self, query: FlowQuery) -> Edges:
        """Who talks to whom: the largest ``limit`` client-server pairs by ``order_by``; ``group_by`` and the like are not used.

        Raises as ``query`` does.
        """

    def ledger(self, window: Window) -> list[LedgerChange]:
        """How the counters moved in the window."""

    def ledger_steps(self, component: str, window: Window, step_ms: int) -> list[LedgerStep]:
        """How those of ``component`` moved in each step of the window, by instance and time; steps without word are left out.

        ``step_ms`` is to be more than the 20 s within which every counter is told of.
        """

    def status(self) -> StoreStatus:
        """How it stands; StoreUnavailable when it does not answer."""

    def datasets(self) -> list[Dataset]:
        """The named datasets beside the live flows, by name."""

    def dataset(self, name: str) -> FlowStore:
        """Dataset ``name`` as a store of its own, closed by the caller; its ``migrate`` makes it when it is missing.

        Raises UsageError for what is no name.
        """

    def remove_dataset(self, name: str) -> None:
        """Removes a dataset and its flows for good; UsageError when there is none."""

    def close(self) -> None:
        """Gives connections back; safe to call twice."""
