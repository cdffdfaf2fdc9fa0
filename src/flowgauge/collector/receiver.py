# SPDX-License-Identifier: Apache-2.0
"""The receive thread: datagrams from the socket into blocks, blocks to the decoder.

It does nothing else, so that the socket is emptied whatever the rest does. A block is handed over when it is full, or
``FLUSH_S`` old (of few datagrams ``QUIET_FLUSH_S``) and the decoder has no other: while it has, a full one serves it better,
but for no longer than ``LATE_S``: the others may be of a port where too much comes, all the time.
Few blocks are in use while datagrams find room in the kernel's buffer, all of them when that is half full. When the decoder
has them all, datagrams wait in it until it is nearly full, then a block of them is dropped and counted: the kernel's own drops
then still mean "burst too large", not "decoder too slow".
"""

from __future__ import annotations

import queue
import threading
import time

from flowgauge.collector.blocks import Block, BlockPool
from flowgauge.collector.listener_state import ListenerState
from flowgauge.collector.senders import Door
from flowgauge.collector.udp_socket import Drops, UdpSocket
from flowgauge.runtime import logs
from flowgauge.runtime.clock import Clock, now_ns
from flowgauge.runtime.ledger import Ledger
from flowgauge.runtime.waiting import Waiting

FLUSH_S = 0.4
"""Age at which a block is handed over although it is not full; with a pause it waits at most half a second. Long, since each
batch has a price of its own: decoding one costs 1–2 ms whatever is in it, and names are looked up once a batch for each
address."""
QUIET_DATAGRAMS, QUIET_FLUSH_S = 200, 0.9
"""… of one that has fewer by then: at 1,000 flows/s most of what is done is the price of batches. With a pause it waits a
second at most, and its segment is handed on the sooner (``gatherer.MAX_AGE_S``)."""
LATE_S = 2.0
"""Age at which it is handed over whatever the decoder has."""
PATIENCE_S = 0.1
"""How long a full block waits for a free one before it looks how full the socket's buffer is, and waits on …"""
NEARLY_FULL = 0.75
"""… unless it is so full."""
HALF_FULL = 0.5
"""Up to which datagrams are better left in the socket's buffer while the decoder has the few usual blocks: further ones cost
page faults, and what they hold has left the caches when its turn comes."""
MAX_PAUSE_S = 0.1
"""Longest pause after a receive that did not fill the block: fetching each datagram as it comes costs system calls and a
wake-up for each, which at 50 000 flows/s is more than decoding them, and at 1 000 half of all that is done."""
IDLE_S = 5.0
"""How long the thread sleeps while nothing comes: by so much later a socket that is broken is noticed."""
DRAIN_S = 2.0
"""How long a stop may go on receiving what the socket holds."""

_DATAGRAM_ACCOUNTED_BYTES = 2_304
"""What the kernel charges the buffer for a datagram of Ethernet size (its ``truesize``)."""
_BURST_PER_S, _BURST_SHARE = 200_000, 0.75
"""Datagrams/s of the fastest burst that the pause must survive, and how full the buffer may be then."""

_log = logs.get("collector")


class Receiver:
    """Receives between ``start`` and ``stop``.

    Args:
        sock: opened and closed by the receiver.
        queue_bytes: bound of the blocks that wait for the decoder.
        filled: where blocks go.
        door: who is let in; None: everybody.
    """

    def __init__(
        self,
        sock: UdpSocket,
        queue_bytes: int,
        filled: queue.SimpleQueue[Block],
        ledger: Ledger,
        *,
        door: Door | None = None,
        clock: Clock = now_ns,
    ) -> None:
        self._socket, self._queue_bytes, self._filled = sock, queue_bytes, filled
        self._ledger, self._door, self._clock = ledger, door, clock
        self._pool: BlockPool | None = None
        self._block: Block | None = None
        self._first_at = 0.0
        self._pause_s = 0.0
        self._waiting: Waiting | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="receive", daemon=True)
        self._limit = logs.RateLimit()
        self._drops = Drops(sock, ledger)

    def start(self) -> None:
        """Listens; raises what ``UdpSocket.open`` raises."""
        self._socket.open()
        room = _BURST_SHARE * 2 * self._socket.buffer_bytes  # the kernel doubles what it is asked for (socket(7))
        self._pause_s = min(MAX_PAUSE_S, room / _DATAGRAM_ACCOUNTED_BYTES / _BURST_PER_S)
        self._pool = BlockPool(self._queue_bytes, ipv6=self._socket.ipv6, door=self._door)
        self._block = self._pool.take(0)
        self._waiting = Waiting(self._socket.descriptor())
        self._thread.start()

    def stop(self) -> None:
        """Refuses more, hands over what the socket holds, and gives the port back; safe to call twice."""
        self._stopping.set()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.wake()
            self._thread.join()
            waiting.close()
        self._socket.close()

    def ready(self) -> bool:
        """True while it receives."""
        return self._thread.is_alive()

    @property
    def name(self) -> str:
        """Transport and port, for people."""
        return f"UDP {self.address[1]}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port in use."""
        return self._socket.address

    def state(self) -> ListenerState:
        """How it stands."""
        return ListenerState(self.name, self.address, buffer_bytes=self._socket.buffer_bytes)

    def _run(self) -> None:
        waiting = self._waiting
        assert waiting is not None  # noqa: S101 - `start` made it
        try:
            while not self._stopping.is_set():
                waiting.wait(self._wait_s())
                if self._step(PATIENCE_S) and self._block is not None and self._block.count:
                    time.sleep(self._pause_s)
            self._socket.refuse_more()
            deadline = time.monotonic() + DRAIN_S
            while self._step(max(0.0, deadline - time.monotonic())):
                pass
            self._flush(max(0.0, deadline - time.monotonic()))
        except OSError as error:
            _log.error("receive_failed", error=str(error))

    def _wait_s(self) -> float:
        """How long there is nothing to do unless a datagram comes: until the block is due."""
        if self._block is None or not self._block.count:
            return IDLE_S
        return max(PATIENCE_S, self._due_at(self._block) - time.monotonic())

    def _due_at(self, block: Block) -> float:
        """When a block that is not full is handed over, by the monotonic clock."""
        return self._first_at + (FLUSH_S if block.count >= QUIET_DATAGRAMS else QUIET_FLUSH_S)

    def _is_due(self, block: Block, now: float) -> bool:
        """Whether a block that is not full is to be handed over now."""
        return now >= self._due_at(block) and (self._filled.empty() or now - self._first_at >= LATE_S)

    def _step(self, patience_s: float) -> int:
        """Receives what there is; hands the block over when that is due. Returns how many datagrams came."""
        block = self._block
        assert block is not None  # noqa: S101 - `start` took the first
        was_empty = block.count == 0
        got = block.receive(self._socket.descriptor(), self._clock, wait=False)
        now = time.monotonic()
        if was_empty:
            self._first_at = now
        if block.full or (block.count and self._is_due(block, now)):
            self._flush(patience_s)
        elif got:
            return got  # drops are counted with the block, or when nothing comes
        self._drops.count()
        return got

    def _flush(self, patience_s: float) -> None:
        """Hands the block over and takes another; without another the block's datagrams are dropped and counted."""
        block, pool = self._block, self._pool
        assert block is not None  # noqa: S101 - `start` took the first
        assert pool is not None  # noqa: S101 - and made the pool
        if not block.count:
            return
        self._count(block, pool)
        successor = self._successor(pool, patience_s)
        if successor is None:
            self._ledger.add("receive_queue_full", block.count)
            self._warn("receive_queue_full", datagrams=block.count, detail="the decoder or the store is too slow")
            block.clear()
            block.enough = block.capacity
        else:
            self._filled.put(block)
            self._block = successor

    def _successor(self, pool: BlockPool, patience_s: float) -> Block | None:
        """The block to fill next: one of the few usual ones while the socket can wait for it, then one more while it can."""
        while not self._stopping.is_set() and self._socket.filled() < HALF_FULL:
            if (usual := pool.take(self._pause_s / 2, more=False)) is not None:
                return usual
        found = pool.take(patience_s)
        while found is None and not self._stopping.is_set() and self._socket.filled() < NEARLY_FULL:
            found = pool.take(patience_s)
        return found

    def _count(self, block: Block, pool: BlockPool) -> None:
        self._ledger.add("receive_datagrams", block.count)
        self._ledger.add("receive_bytes", block.bytes())
        cut, longest = block.truncated()
        if cut:
            self._ledger.add("receive_truncated", cut)
            grown = pool.grow(longest)
            self._warn("receive_truncated", datagrams=cut, longest_bytes=longest, slot_bytes=pool.slot_bytes, grown=grown)

    def _warn(self, event: str, **facts: object) -> None:
        allowed, held_back = self._limit.allow(event)
        if allowed:
            _log.warning(event, held_back=held_back, **facts)
