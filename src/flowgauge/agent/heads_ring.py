# SPDX-License-Identifier: Apache-2.0
"""The newest packet heads of a network namespace, in a fixed piece of memory that the kernel fills by itself.

It is a packet socket's ring (``PACKET_RX_RING``, version 2, packet(7)) whose frames are given back not when they were read but
when room is needed: a quarter is kept free ahead of the kernel, so that the oldest packets go and the newest are there. Nothing
is copied until somebody asks; a thread that looks at the ring, ten times a second while it is quiet, is all that it costs here.

The kernel cuts a packet behind its transport header before it gets here: payload is never in this memory.

After: :mod:`flowgauge.agent.heads`. Safe from any thread.
"""

from __future__ import annotations

import contextlib
import mmap
import socket
import struct
import threading
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.agent.capture_ring import Frames, frame_of
from flowgauge.agent.heads_cut import attach_cut
from flowgauge.runtime import linux

FRAME_BYTES = 176
"""Of the ring: at most 80 for what the kernel says, 96 of the packet (``heads_cut.HEAD_BYTES``)."""
BLOCK_BYTES = 253 * 4096
"""Kernel memory comes in blocks of whole frames and pages; this size wastes least, as blocks are rounded up to 2^n pages."""
BLOCK_FRAMES = BLOCK_BYTES // FRAME_BYTES

HEAD_FRAME = frame_of(FRAME_BYTES)

_SOL_PACKET, _RX_RING, _STATISTICS, _VERSION = 263, 5, 6, 10
_TPACKET_V2, _ETH_P_ALL, _READY = 1, 0x0003, 1
_FREE_SHARE = 4
"""One of so many frames is kept free: what may come between two looks."""
_LOOK_AHEAD = 4096
_POLL_S = (0.005, 0.1)
"""Shortest and longest time between two looks at the ring."""
_MAX_READ = 4096
"""Frames copied in one go, under the lock."""
MAX_FREEZE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Piece:
    """A copy of consecutive heads.

    Attributes:
        frames: ``HEAD_FRAME`` (n,), in the order in which they came.
        next: the position behind the last.
        lost: heads between the position that was asked for and the first that was still there.
    """

    frames: Frames
    next: int
    lost: int


class HeadsRing:
    """Heads of the packets of every device of a network namespace; inert until ``start``.

    A position counts the heads since the start, from 0; ``begin`` is the oldest that is there, ``end`` is behind the newest.

    Args:
        size_bytes: kernel memory, rounded down to whole blocks; at least one is taken.
        netns: name or path; empty: the calling thread's.
    """

    def __init__(self, size_bytes: int, netns: str = "") -> None:
        self._blocks, self._netns = max(1, size_bytes // BLOCK_BYTES), netns
        self._frames = self._blocks * BLOCK_FRAMES
        self._kept = self._frames - self._frames // _FREE_SHARE
        self._begin = self._end = self._missed = 0
        self._frozen_until = 0.0
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="heads", daemon=True)
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Opens the socket; OSError: no CAP_NET_RAW, no such namespace or no memory."""
        with linux.in_netns(self._netns) if self._netns else contextlib.nullcontext():
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(_ETH_P_ALL))
        try:
            self._memory = _mapped(opened, self._blocks)
        except OSError:
            opened.close()
            raise
        self._bytes = np.frombuffer(self._memory, np.uint8).reshape(self._frames, FRAME_BYTES)
        self._status = np.frombuffer(self._memory, np.uint32).reshape(self._frames, FRAME_BYTES // 4)[:, 0]
        self._socket = opened
        self._thread.start()

    @property
    def size_bytes(self) -> int:
        """Kernel memory."""
        return self._blocks * BLOCK_BYTES

    @property
    def frozen(self) -> bool:
        """Whether the oldest heads are being kept."""
        return time.monotonic() < self._frozen_until

    def freeze(self, seconds: float) -> None:
        """Keeps what is there: no head is overwritten for so long (0: no longer), and those that find no room are missed."""
        with self._lock:
            self._frozen_until = time.monotonic() + min(seconds, MAX_FREEZE_S)

    def span(self) -> tuple[int, int]:
        """``begin`` and ``end`` of now."""
        with self._lock:
            self._advance()
            return self._begin, self._end

    def oldest(self) -> Frames:
        """A copy of the oldest head; empty when there is none."""
        return self.read(0, most=1).frames

    def read(self, position: int, most: int = _MAX_READ) -> Piece:
        """Copies heads from ``position`` on, or from the oldest that is there: at most ``most``."""
        with self._lock:
            self._advance()
            begin = min(max(position, self._begin), self._end)
            first = begin % self._frames
            count = min(self._end - begin, self._frames - first, most) if self._socket else 0
            copied = self._bytes[first : first + count].copy() if count else np.zeros((0, FRAME_BYTES), np.uint8)
            return Piece(copied.reshape(-1).view(HEAD_FRAME), begin + count, max(begin - position, 0))

    def counters(self) -> dict[str, int]:
        """Under the ledger's names."""
        with self._lock:
            self._advance()
            if self._socket is not None:
                told = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)
                self._missed += int(struct.unpack("=II", told)[1])
            return {"heads_seen": self._end + self._missed, "heads_overwritten": self._begin, "heads_missed": self._missed}

    def stop(self) -> None:
        """Gives the memory back; safe to call twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            closing, self._socket = self._socket, None
            if closing is not None:
                del self._bytes, self._status
                self._memory.close()
                closing.close()

    def _run(self) -> None:
        wait_s = _POLL_S[1]
        while not self._stopping.wait(wait_s):
            with self._lock:
                found = self._advance()
            busy = found > self._frames // (8 * _FREE_SHARE)
            wait_s = max(_POLL_S[0], wait_s / 4) if busy else min(_POLL_S[1], wait_s * 2)

    def _advance(self) -> int:
        """Finds what has come, and gives the oldest frames back for what will; how many have come."""
        before = self._end
        while self._socket is not None and (new := self._newly_ready()):
            self._end += new
            self._give_back()
        if self._socket is not None:
            self._give_back()
        return self._end - before

    def _newly_ready(self) -> int:
        at = self._end % self._frames
        # Behind the last free frame are the oldest heads, which are ready as well.
        stop = min(at + _LOOK_AHEAD, self._frames, at + self._frames - (self._end - self._begin))
        waiting = (self._status[at:stop] & _READY) == 0
        return int(waiting.argmax()) if waiting.any() else stop - at

    def _give_back(self) -> None:
        if self.frozen:
            return
        while (surplus := self._end - self._begin - self._kept) > 0:
            first = self._begin % self._frames
            count = min(surplus, self._frames - first)
            self._status[first : first + count] = 0
            self._begin += count


def chosen_of(frames: Frames, chosen: npt.NDArray[np.bool_]) -> Frames:
    """Those chosen by a mask, with all their bytes: indexing them as records would copy the fields only."""
    rows: Frames = frames.view(np.uint8).reshape(-1, FRAME_BYTES)[chosen].reshape(-1).view(HEAD_FRAME)
    return rows


def _mapped(opened: socket.socket, blocks: int) -> mmap.mmap:
    """The ring of ``opened``. What came before is thrown away by the kernel when the ring is made, so all in it was cut."""
    attach_cut(opened)
    opened.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V2)
    request = struct.pack("=IIII", BLOCK_BYTES, blocks, FRAME_BYTES, blocks * BLOCK_FRAMES)
    opened.setsockopt(_SOL_PACKET, _RX_RING, request)
    return mmap.mmap(opened.fileno(), blocks * BLOCK_BYTES)
