# SPDX-License-Identifier: Apache-2.0
"""Asks paths for errors of ICMP: ``probe_paths.py FAR CLOSED NARROW``, three addresses.

To FAR it sends datagrams whose hops end on the way, to ports of CLOSED where nobody listens, and to NARROW, behind a link of a
small MTU, larger ones that must not be fragmented. What came back is read from the socket's error queue (ip(7), IP_RECVERR) and
printed as JSON, ``"type/code": count``. Standard library only, run by path.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from collections import Counter

FIRST_PORT = 33434
"""As traceroute: every datagram goes to a port of its own."""
TIMES, MOST_TRIES = 3, 20
HOPS = 2
LARGE_BYTES = 1400
WITHIN_S = 1.0

IP_MTU_DISCOVER, IP_PMTUDISC_PROBE = 10, 3
IP_RECVERR = 11
SO_EE_ORIGIN_ICMP = 2


def send(probe: socket.socket, far: str, closed: str, narrow: str) -> int:
    """Sends all datagrams; how many these were."""
    sent = 0
    for address, hops, size in [*((far, hops, 20) for hops in range(1, HOPS + 1)), (closed, 64, 20), (narrow, 64, LARGE_BYTES)]:
        probe.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        for _ in range(TIMES):
            sent += put(probe, (address, FIRST_PORT + sent), size)
    return sent


def put(probe: socket.socket, to: tuple[str, int], size: int) -> int:
    """Sends one datagram, again when the error of an earlier one is told instead; how many were sent."""
    for _ in range(MOST_TRIES):
        try:
            probe.sendto(bytes(size), to)
        except OSError:
            continue
        return 1
    return 0


def read(probe: socket.socket, sent: int) -> Counter[str]:
    """The errors that came within a second, at most one for each datagram; what has come by then is read, however late."""
    errors: Counter[str] = Counter()
    told = select.poll()
    told.register(probe, 0)  # POLLERR is always told
    deadline = time.monotonic() + WITHIN_S
    while errors.total() < sent:
        try:
            _, about, _, _ = probe.recvmsg(LARGE_BYTES, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # told, too, and for ever until it is taken
            told.poll(left * 1000)
            continue
        errors.update(map(kind, about))
        errors.pop("", None)
    return errors


def kind(about: tuple[int, int, bytes]) -> str:
    """``type/code`` of an error of ICMP; empty for what else the kernel says of a packet."""
    level, what, data = about
    if (level, what) != (socket.IPPROTO_IP, IP_RECVERR):
        return ""
    _, origin, icmp_type, code = struct.unpack_from("=IBBB", data)  # struct sock_extended_err
    return f"{icmp_type}/{code}" if origin == SO_EE_ORIGIN_ICMP else ""


if __name__ == "__main__":
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        probe.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        print(json.dumps(read(probe, send(probe, *sys.argv[1:]))), flush=True)  # noqa: T201 - the result
