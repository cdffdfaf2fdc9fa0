# SPDX-License-Identifier: Apache-2.0
"""For tests: frames as the kernel puts them into a packet socket's ring, made of captured bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowgauge.agent.capture_ring import FRAME, FRAME_BYTES, OUTGOING, VIRTIO_BYTES, VLAN_VALID, Frames

_AT = 76
"""Where an Ethernet frame begins in a ring's frame, as the kernel (tpacket_rcv) reckons."""
ETHERNET = 1


def ring_frames(
    packets: Sequence[bytes],
    ifindex: int = 1,
    at_ns: int = 1_000_000_000,
    *,
    egress: bool = False,
    gso_size: int = 0,
    vlan_tci: int | None = None,
    hardware: int = ETHERNET,
    protocol: int = 0,
) -> Frames:
    """One frame a packet, a microsecond apart."""
    data = np.zeros((len(packets), FRAME_BYTES), np.uint8)
    frames: Frames = data.reshape(-1).view(FRAME)
    for row, packet in enumerate(packets):
        head = packet[: FRAME_BYTES - _AT]
        data[row, _AT : _AT + len(head)] = np.frombuffer(head, np.uint8)
        data[row, _AT - VIRTIO_BYTES + 4 : _AT - VIRTIO_BYTES + 6] = np.frombuffer(np.uint16(gso_size).tobytes(), np.uint8)
        moment = at_ns + 1000 * row
        frames[row]["length"], frames[row]["captured"], frames[row]["at"] = len(packet), len(head), _AT
        frames[row]["seconds"], frames[row]["nanoseconds"] = divmod(moment, 1_000_000_000)
    frames["status"] = 1 | (0 if vlan_tci is None else VLAN_VALID)
    frames["vlan_tci"] = vlan_tci or 0
    frames["ifindex"], frames["hardware"], frames["protocol"] = ifindex, hardware, protocol
    frames["packet_type"] = OUTGOING if egress else 0
    return frames
