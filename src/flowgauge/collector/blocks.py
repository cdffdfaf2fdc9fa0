# SPDX-License-Identifier: Apache-2.0
"""Blocks of received datagrams: allocated once, filled by the receive thread, decoded by the other, and filled again.

A block's memory is the queue between the two threads, so the queue is bounded in bytes by the number of blocks. Reused, not
made anew: the first pass over fresh memory costs twice (page faults).
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.collector.senders import Door
from flowgauge.flow.addresses import from_ipv4
from flowgauge.runtime.clock import Clock
from flowgauge.runtime.linux import MSG_TRUNC, SOCKADDR_BYTES, MessageSlots, Mmsghdr
from flowgauge.wire.datagrams import Datagrams

BLOCK_BYTES = 8 << 20
"""One block: 4,096 datagrams of an Ethernet network. A batch has a cost of its own, which sFlow (six flows to a datagram) feels
up to here; of protocols with more flows to a datagram a block is decoded in portions (``wire.portions``)."""

BLOCK_FLOWS, FEWEST = 40_000, 64
"""Flows after which a block is full while the decoder keeps up, and the fewest datagrams of a block: more at once cost the
decoder no less, and what is not filled takes no memory. When it does not, blocks are filled whole."""

FEW_BLOCKS = 2
"""One is filled while the other is decoded: enough as long as the socket's own buffer holds what comes meanwhile."""

SLOT_BYTES = (2_048, 9_216, 65_536)
"""Slot sizes, smallest first: Ethernet, jumbo frames, the longest UDP datagram. The next is taken once one was too small."""

_HEADER = np.dtype(
    {
        "names": ["namelen", "flags", "length"],
        "formats": [np.uint32, np.int32, np.uint32],
        "offsets": [
            Mmsghdr.header.offset + type(Mmsghdr().header).namelen.offset,
            Mmsghdr.header.offset + type(Mmsghdr().header).flags.offset,
            Mmsghdr.length.offset,
        ],
        "itemsize": len(bytes(Mmsghdr())),
    }
)


class Block:
    """Room for datagrams that are decoded together.

    Attributes:
        capacity, enough: datagrams that it has room for, and those that it takes.

    Args:
        slot_bytes: longest datagram it takes whole.
        ipv6: whether the socket's addresses are struct sockaddr_in6 (else sockaddr_in).
        pool: where it goes when it is not needed any more.
    """

    session = None
    """Datagrams are of no session: their exporters are known by address."""

    def __init__(self, slot_bytes: int, *, ipv6: bool, pool: BlockPool | None = None) -> None:
        self.slot_bytes, self._ipv6, self._pool = slot_bytes, ipv6, pool
        self.door: Door | None = None
        self.capacity = self.enough = BLOCK_BYTES // slot_bytes
        self.count = 0
        self._slots = MessageSlots(self.capacity, slot_bytes)
        self._payloads = _view(self._slots.payloads, np.uint8).reshape(self.capacity, slot_bytes)
        self._senders = _view(self._slots.senders, np.uint8).reshape(self.capacity, SOCKADDR_BYTES)
        self._headers = _view(self._slots.headers, _HEADER)
        self._received_ns = np.zeros(self.capacity, np.int64)

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return self.count >= self.enough

    def receive(self, descriptor: int, clock: Clock, *, wait: bool) -> int:
        """Adds what a socket holds, stamped with the time of arrival here; returns how many datagrams came."""
        got = self._slots.receive(descriptor, self.count, self.enough, wait=wait)
        self._received_ns[self.count : self.count + got] = clock()
        self.count += got
        return got

    def datagrams(self) -> Iterator[Datagrams]:
        """What it holds, of senders that are let in; valid until ``done``."""
        found = self._all()
        if self.door is not None:
            found = self.door.pass_in(found)
        if len(found):
            yield found

    def done(self, flows: int) -> None:
        """It is not needed any more."""
        if self._pool is not None:
            self._pool.give(self, flows)

    def _all(self) -> Datagrams:
        count = self.count
        senders = self._senders[:count]
        sent = self._headers["length"][:count]
        missing = np.maximum(sent.astype(np.int32) - self.slot_bytes, 0)
        return Datagrams(
            payloads=self._payloads[:count],
            lengths=np.minimum(sent, self.slot_bytes).astype(np.int32),
            # sockaddr_in: family, port, 4-byte address; sockaddr_in6: family, port, flow label, 16-byte address.
            source_addr=np.ascontiguousarray(senders[:, 8:24]) if self._ipv6 else from_ipv4(senders[:, 4:8]),
            source_port=np.ascontiguousarray(senders[:, 2:4]).view(">u2").reshape(-1).astype(np.uint16),
            received_ns=self._received_ns[:count],
            missing=missing if missing.any() else None,
        )

    def bytes(self) -> int:
        """Payload bytes, those that were cut off included."""
        return int(self._headers["length"][: self.count].sum())

    def truncated(self) -> tuple[int, int]:
        """How many datagrams were cut, and the longest one's length."""
        headers = self._headers[: self.count]
        cut = (headers["flags"] & MSG_TRUNC) != 0
        return int(np.count_nonzero(cut)), int(headers["length"].max(initial=0))

    def clear(self) -> None:
        """Makes it empty; the kernel has overwritten the length of each address, which says how much room there is."""
        self._headers["namelen"][: self.count] = SOCKADDR_BYTES
        self.count = 0


class BlockPool:
    """Blocks of ``total_bytes`` altogether, made when first needed. ``take`` by one thread, ``give`` by another.

    Of those that have come back the last is given first: its memory is most likely still in a cache. What the last one held
    says how many datagrams are enough for the next.

    Args:
        door: who is let in; None: everybody.
    """

    def __init__(self, total_bytes: int, *, ipv6: bool, door: Door | None = None) -> None:
        self.blocks = max(2, total_bytes // BLOCK_BYTES)
        self.slot_bytes = SLOT_BYTES[0]
        self._ipv6, self._door = ipv6, door
        self._made, self._enough = 0, BLOCK_BYTES
        self._free: queue.LifoQueue[Block] = queue.LifoQueue()

    def take(self, timeout_s: float, *, more: bool = True) -> Block | None:
        """A block to fill, or None when none has come back within ``timeout_s``.

        ``more``: all the room there is will be needed, so rather than wait one more is made, and it is filled whole.
        """
        block = self._found(timeout_s, more=more)
        if block is not None:
            block.enough = block.capacity if more else min(block.capacity, self._enough)
        return block

    def _found(self, timeout_s: float, *, more: bool) -> Block | None:
        try:
            block = self._free.get_nowait()
        except queue.Empty:
            if self._made < (self.blocks if more else FEW_BLOCKS):
                self._made += 1
                return self._make()
            try:
                block = self._free.get(timeout=timeout_s)
            except queue.Empty:
                return None
        return block if block.slot_bytes == self.slot_bytes else self._make()

    def _make(self) -> Block:
        block = Block(self.slot_bytes, ipv6=self._ipv6, pool=self)
        block.door = self._door
        return block

    def give(self, block: Block, flows: int = 0) -> None:
        """Takes a block back that held so many flows; 0: that is not known."""
        if flows:
            self._enough = max(FEWEST, BLOCK_FLOWS * block.count // flows)
        block.clear()
        self._free.put(block)

    def grow(self, length: int) -> bool:
        """Makes blocks for datagrams of ``length`` bytes from now on; False when they already are, or cannot be longer."""
        wanted = next((size for size in SLOT_BYTES if size >= length), SLOT_BYTES[-1])
        if wanted <= self.slot_bytes:
            return False
        self.slot_bytes = wanted
        return True


def _view(memory: Any, dtype: Any) -> npt.NDArray[Any]:
    return np.frombuffer(memory, dtype)
