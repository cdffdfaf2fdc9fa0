# SPDX-License-Identifier: Apache-2.0
"""Packets of all devices of a network namespace, from the kernel's packet socket, in memory shared with it.

The ring (``PACKET_RX_RING``, version 2, packet(7)) has frames of one size, so that it is a matrix of bytes and a header's
field is a column. A frame holds the beginning of a packet, behind what the kernel says about it. Not thread-safe.

Before: the packets; after: :mod:`flowgauge.agent.capture_packets`.
"""

from __future__ import annotations

import mmap
import socket
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

FRAME_BYTES = 256
"""Of the ring: 76 for what the kernel says, 180 of the packet: enough for any header that is parsed."""
VIRTIO_BYTES = 10
"""Size of ``struct virtio_net_hdr``, which is right before the packet."""
OUTGOING = 4
"""``packet_type`` of a packet that the device sends (``PACKET_OUTGOING`` of linux/if_packet.h)."""
VLAN_VALID = 0x10
"""Bit of ``status``: ``vlan_tci`` was in the frame (``TP_STATUS_VLAN_VALID``)."""

Frames = npt.NDArray[np.void]


def frame_of(size_bytes: int) -> np.dtype[Any]:
    """A frame of a ring: ``struct tpacket2_hdr`` and behind it ``struct sockaddr_ll``; ``at`` is where the packet begins."""
    names = ["status", "length", "captured", "at", "seconds", "nanoseconds", "vlan_tci", "vlan_tpid", "protocol", "ifindex",
             "hardware", "packet_type"]  # fmt: skip
    formats = ["u4", "u4", "u4", "u2", "u4", "u4", "u2", "u2", ">u2", "i4", "u2", "u1"]
    offsets = [0, 4, 8, 12, 16, 20, 24, 26, 34, 36, 40, 42]
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size_bytes})


FRAME = frame_of(FRAME_BYTES)

_SOL_PACKET, _RX_RING, _STATISTICS, _VERSION, _VNET_HDR = 263, 5, 6, 10, 15
_TPACKET_V2 = 1
_ETH_P_ALL = 0x0003
_BLOCK_BYTES = 1 << 18
_READY = 1
_LOOK_AHEAD = 2048
"""Frames whose status is looked at in one go: an idle ring costs little."""


class Ring:
    """The packets of every device of the calling thread's network namespace.

    Args:
        frames: how many packets may wait; a power of two, at least 1024. Each takes ``FRAME_BYTES`` of kernel memory.

    Raises:
        OSError: no CAP_NET_RAW, or no memory.
    """

    def __init__(self, frames: int) -> None:
        self._frames, self._at = frames, 0
        self._dropped = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(_ETH_P_ALL))
        try:
            self._socket.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V2)
            self._socket.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
            size = frames * FRAME_BYTES
            self._socket.setsockopt(
                _SOL_PACKET, _RX_RING, struct.pack("=IIII", _BLOCK_BYTES, size // _BLOCK_BYTES, FRAME_BYTES, frames)
            )
            self._memory = mmap.mmap(self._socket.fileno(), size)
        except OSError:
            self._socket.close()
            raise
        self._bytes = np.frombuffer(self._memory, np.uint8).reshape(frames, FRAME_BYTES)
        self._status = np.frombuffer(self._memory, np.uint32).reshape(frames, FRAME_BYTES // 4)[:, 0]

    @property
    def size_bytes(self) -> int:
        """Kernel memory of the ring."""
        return self._frames * FRAME_BYTES

    def take(self) -> Frames:
        """Copies packets that are ready, in their order, and frees their frames: at most ``_LOOK_AHEAD``; ``FRAME`` (n,)."""
        stop = min(self._at + _LOOK_AHEAD, self._frames)
        waiting = (self._status[self._at : stop] & _READY) == 0
        count = int(waiting.argmax()) if waiting.any() else stop - self._at
        here = slice(self._at, self._at + count)
        taken = self._bytes[here].copy()
        self._status[here] = 0
        self._at = (self._at + count) % self._frames
        frames: Frames = taken.reshape(-1).view(FRAME)
        return frames

    def dropped(self) -> int:
        """Packets that found the ring full, since it was made."""
        told = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)
        self._dropped += int(struct.unpack("=II", told)[1])
        return self._dropped

    def close(self) -> None:
        """Gives the ring back; nothing may use it any more."""
        del self._bytes, self._status
        self._memory.close()
        self._socket.close()
