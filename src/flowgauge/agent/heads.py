# SPDX-License-Identifier: Apache-2.0
"""Packet heads of this node: the newest are kept in memory when the document says so, and cut out as a capture file when asked.

Who asks for what comes, while none are kept, gets a small ring of its own for so long. Names and filters are those of flows.

Before: :mod:`flowgauge.agent.heads_ring`; after: :mod:`flowgauge.agent.heads_route`, ``flowgauge capture``. Safe from any
thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from flowgauge.agent.capture_ring import Frames
from flowgauge.agent.heads_columns import check, columns, label, times_ns
from flowgauge.agent.heads_file import HeadsFile
from flowgauge.agent.heads_ring import BLOCK_BYTES, HEAD_FRAME, HeadsRing, chosen_of
from flowgauge.config.model import Exporter
from flowgauge.enrich.naming import Naming
from flowgauge.errors import EnvironmentProblem, UsageError
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.mask import mask
from flowgauge.runtime import logs
from flowgauge.runtime.clock import now_ns
from flowgauge.schema import filters
from flowgauge.schema.filters.tree import Bound

_LIVE_BLOCKS = 8
"""Of a ring that is there for one question only: 47,000 packets, as the reader must keep up."""
_POLL_S = 0.1
_SETTLED_NS = 100_000_000
"""A packet is in the ring so long after its time at the latest."""
_SETTLED_S = _SETTLED_NS / 1e9
_MARK_S = 0.5
"""Between two marks, which also show that we are there."""

Flags = npt.NDArray[np.bool_]
Devices = Callable[[], Mapping[int, str]]

_log = logs.get("agent")


@dataclass(frozen=True, slots=True)
class Question:
    """Which heads are wanted.

    Attributes:
        filter: in the filter language; empty: all.
        start_ns, end_ns: of the past; equal: none of it.
        follow_s: and what comes for so long.
        max_bytes: of the answer, which ends before it is longer.
        marks: whether the answer says now and then how far it is, for who joins several; Wireshark shows marks as odd packets.
    """

    filter: str
    start_ns: int
    end_ns: int
    follow_s: float
    max_bytes: int
    marks: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What a node keeps.

    Attributes:
        kept: whether it keeps the past; what comes can be captured all the same.
        refused: why nothing of it may be captured; empty: it may.
        frozen: whether the oldest are being kept for the time being.
        size_bytes: memory for them.
        packets: how many are there.
        oldest_ms: time of the oldest, since 1970; None without one.
    """

    kept: bool
    refused: str = ""
    frozen: bool = False
    size_bytes: int = 0
    packets: int = 0
    oldest_ms: int | None = None


_LEFT_OUT = "spec.exporter.namespaces and pods leave pods out, whose packets a capture would show"


class Heads:
    """The heads of one node; inert until ``start``.

    Args:
        node: its name.
        netns: network namespace, empty: the calling thread's.
        devices: ifIndex → name of those that are observed: others are not shown.
        naming: of addresses; started when first asked.
    """

    def __init__(self, node: str, netns: str, devices: Devices, naming: Naming) -> None:
        self._node, self._netns, self._devices = node, netns, devices
        self._naming, self._named = naming, False
        self._lock = threading.Lock()
        self._wanted = Exporter().heads
        self._left_out = False
        self._ring: HeadsRing | None = None

    def apply(self, exporter: Exporter) -> None:
        """Keeps as much as the document says from now on; what was kept goes when that changes.

        A kernel that refuses is told in the log: flows do not need heads.
        """
        with self._lock:
            self._left_out = exporter.chooses_pods
            if exporter.heads == self._wanted:
                return
            self._wanted = exporter.heads
            retired, self._ring = self._ring, None
            if retired is not None:
                retired.stop()
            if exporter.heads.enable:
                try:
                    self._ring = self._opened(exporter.heads.memory_bytes)
                except EnvironmentProblem as problem:
                    _log.error("heads_not_kept", error=str(problem))

    def stop(self) -> None:
        """Gives the memory back; safe to call twice."""
        self.apply(Exporter())
        with self._lock:
            if self._named:
                self._naming.stop()
                self._named = False

    def counters(self) -> dict[str, int]:
        """Under the ledger's names; empty while none are kept."""
        ring = self._ring
        return ring.counters() if ring is not None else {}

    @property
    def size_bytes(self) -> int:
        """Memory in use."""
        ring = self._ring
        return ring.size_bytes if ring is not None else 0

    def standing(self) -> Standing:
        """What is kept now."""
        with self._lock:
            refused, ring = _LEFT_OUT if self._left_out else "", self._ring
            if ring is None:
                return Standing(kept=False, refused=refused)
            begin, end = ring.span()
            first = ring.oldest()
            oldest_ms = int(times_ns(first)[0]) // 1_000_000 if len(first) else None
            return Standing(True, refused, ring.frozen, ring.size_bytes, end - begin, oldest_ms)

    def freeze(self, seconds: float) -> None:
        """Keeps what is there for so long; UsageError while none are kept."""
        self._kept_ring().freeze(seconds)

    def capture(self, question: Question, stopping: threading.Event) -> Generator[bytes, None, None]:
        """Pieces of a pcapng file, each of whole blocks, until all is told, ``stopping`` is set, or pods are left out.

        Raises:
            UsageError: the filter, or the past is asked for and not kept; both before the first piece.
            EnvironmentProblem: packets cannot be captured here, likewise.
        """
        if self._left_out:
            raise UsageError(_LEFT_OUT)
        where = filters.bound(question.filter)
        with self._lock:
            check(where, self._name(columns(np.zeros(0, HEAD_FRAME), self._node, {})))
        pieces = self._pieces(question, where, stopping)
        return _bounded(next(pieces), pieces, question.max_bytes)

    def _pieces(self, question: Question, where: Bound, stopping: threading.Event) -> Generator[list[bytes], None, None]:
        """Blocks; with the first the ring is there, so that nothing that comes from then on is missed."""
        with self._ring_for(question) as ring:
            file = HeadsFile(self._node, self._devices())
            begin, end = ring.span()
            position = begin if question.start_ns < question.end_ns else end
            left_s, until_s = question.follow_s, time.monotonic() + question.follow_s
            settled_ns = lost = 0
            marked_s = -_MARK_S
            yield [file.begin()]
            while left_s > -_SETTLED_S and not stopping.is_set() and not self._left_out:
                left_s = until_s - time.monotonic()
                settled_ns = now_ns() - _SETTLED_NS
                until_ns = now_ns() + int(left_s * 1e9)
                while len((piece := ring.read(position)).frames):
                    position = piece.next
                    lost += piece.lost
                    came = np.arange(position - len(piece.frames), position) >= end
                    yield self._blocks(file, self._of_interest(piece.frames, question, until_ns, came), where)
                if question.marks and until_s - left_s - marked_s >= _MARK_S:
                    marked_s = until_s - left_s
                    yield [file.mark(settled_ns, lost)]
                    lost = 0
                stopping.wait(_POLL_S)
            last = file.mark(settled_ns, lost)
            yield [*([last] if question.marks else []), file.end(settled_ns)]

    def _of_interest(self, frames: Frames, question: Question, until_ns: int, came: Flags) -> Frames:
        """Those of the right time and of devices that are observed.

        ``came``: which of them are not of the past, whose clock may have been set back since.
        """
        at = times_ns(frames)
        end_ns = max(question.end_ns, until_ns) if question.follow_s else question.end_ns
        wanted = ((at >= question.start_ns) | came) & (at < end_ns)
        return chosen_of(frames, wanted & np.isin(frames["ifindex"], list(self._devices())))

    def _blocks(self, file: HeadsFile, frames: Frames, where: Bound) -> list[bytes]:
        if not len(frames):
            return []
        with self._lock:
            batch = self._name(columns(frames, self._node, self._devices()))
        chosen = mask(where, batch)
        return list(file.blocks(chosen_of(frames, chosen), _comments(batch.take(chosen))))

    def _name(self, batch: FlowBatch) -> FlowBatch:
        if not self._named:
            self._naming.start()
            self._named = True
        return self._naming.stage(batch)

    def _kept_ring(self) -> HeadsRing:
        ring = self._ring
        if ring is None:
            raise UsageError(f"node {self._node} keeps no packet heads: set spec.exporter.heads.enable to true")
        return ring

    @contextmanager
    def _ring_for(self, question: Question) -> Iterator[HeadsRing]:
        if self._ring is not None or question.start_ns < question.end_ns:
            yield self._kept_ring()
            return
        own = self._opened(_LIVE_BLOCKS * BLOCK_BYTES)
        try:
            yield own
        finally:
            own.stop()

    def _opened(self, size_bytes: int) -> HeadsRing:
        ring = HeadsRing(size_bytes, self._netns)
        try:
            ring.start()
        except OSError as error:
            raise EnvironmentProblem(f"packets of node {self._node} cannot be captured: {error.strerror or error}") from error
        return ring


def _comments(batch: FlowBatch) -> list[str]:
    """``shop/web → shop/db`` for each row; empty where neither end has a name."""
    ends = zip(label(batch, "src"), label(batch, "dst"), strict=True)
    return [f"{src or '?'} → {dst or '?'}" if src or dst else "" for src, dst in ends]


def _bounded(first: list[bytes], pieces: Generator[list[bytes], None, None], max_bytes: int) -> Generator[bytes, None, None]:
    """Joined blocks, as many as ``max_bytes`` have room for."""
    total = 0
    with closing(pieces):
        for blocks in chain([first], pieces):
            fitting = []
            for block in blocks:
                total += len(block)
                if total <= max_bytes:
                    fitting.append(block)
            if fitting:
                yield b"".join(fitting)
            if total > max_bytes:
                return
