# SPDX-License-Identifier: Apache-2.0
"""This node's address translations, as connection tracking tells them (nfnetlink, linux/netfilter/nfnetlink_conntrack.h).

For flows that were captured without eBPF, which would read them from the packet itself. One dump at the end of an interval
shows every connection that is open, and those that closed within the last ten seconds or more: entries live on so long.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from flowgauge.agent.rtnetlink import read_attributes, read_messages
from flowgauge.ebpf.abi import FLOW_KEY, TRANSLATION
from flowgauge.ebpf.map_reader import Entries
from flowgauge.flow.addresses import V4_MAPPED_PREFIX
from flowgauge.schema.columns import PORT_PROTOCOLS

_NETLINK_NETFILTER = 12
_GET, _NEW = 0x0101, 0x0100
"""IPCTNL_MSG_CT_GET and _NEW of subsystem 1."""
_DUMP = 0x301
_ERROR, _DONE = 2, 3
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS = 1, 2, 3
_TRANSLATED = 0x30
"""IPS_SRC_NAT and IPS_DST_NAT."""
_HEADER, _GENERIC_BYTES = struct.Struct("=IHHII"), 4
_BUFFER_BYTES = 1 << 17


class _Tuple(NamedTuple):
    """One direction of a connection; addresses of 16 bytes."""

    src: bytes
    dst: bytes
    src_port: int
    dst_port: int
    proto: int


class Conntrack:
    """Asks for the connections of the calling thread's network namespace, which stays this object's; not thread-safe."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        self._socket.settimeout(5.0)

    def translations(self) -> Entries:
        """``abi.FLOW_KEY`` as it was before, ``abi.TRANSLATION``: two for each translated connection.

        Raises:
            OSError: the kernel refuses, or has no connection tracking.
        """
        pairs = [pair for orig, reply in self._translated() for pair in _both_ways(orig, reply)]
        keys, values = np.zeros(len(pairs), FLOW_KEY), np.zeros(len(pairs), TRANSLATION)
        for rows, tuples in ((keys, [before for before, _ in pairs]), (values, [after for _, after in pairs])):
            rows["src_addr"] = np.frombuffer(b"".join(one.src for one in tuples), np.uint8).reshape(-1, 16)
            rows["dst_addr"] = np.frombuffer(b"".join(one.dst for one in tuples), np.uint8).reshape(-1, 16)
            rows["src_port"] = [one.src_port for one in tuples]
            rows["dst_port"] = [one.dst_port for one in tuples]
        keys["proto"] = [before.proto for before, _ in pairs]
        return Entries(keys, values)

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def _translated(self) -> Iterator[tuple[_Tuple, _Tuple]]:
        for body in self._dump():
            found = read_attributes(body, _GENERIC_BYTES)
            if int.from_bytes(found.get(_STATUS, b"")[:4], "big") & _TRANSLATED:
                yield _tuple(found[_TUPLE_ORIG]), _tuple(found[_TUPLE_REPLY])

    def _dump(self) -> Iterator[bytes]:
        self._socket.send(_HEADER.pack(_HEADER.size + _GENERIC_BYTES, _GET, _DUMP, 1, 0) + bytes(_GENERIC_BYTES))
        while True:
            for kind, _, body in read_messages(self._socket.recv(_BUFFER_BYTES)):
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    number = -struct.unpack_from("=i", body)[0]
                    raise OSError(number or errno.EPROTO, f"read connections: {os.strerror(number)}")
                if kind == _NEW:
                    yield body


def _both_ways(orig: _Tuple, reply: _Tuple) -> Iterator[tuple[_Tuple, _Tuple]]:
    """(before, after) of the packets of each direction, of those that are translated."""
    for there, back in ((orig, reply), (reply, orig)):
        after = _Tuple(back.dst, back.src, back.dst_port, back.src_port, back.proto)
        if after != there:
            yield there, after


def _tuple(data: bytes) -> _Tuple:
    outer = read_attributes(data, 0)
    ip, proto = read_attributes(outer.get(1, b""), 0), read_attributes(outer.get(2, b""), 0)  # CTA_TUPLE_IP, _PROTO
    number = int.from_bytes(proto.get(1, b""), "big")  # CTA_PROTO_NUM
    ported = number in PORT_PROTOCOLS
    src_port, dst_port = (int.from_bytes(proto.get(kind, b""), "big") if ported else 0 for kind in (2, 3))
    if 1 in ip:  # CTA_IP_V4_SRC, _DST
        src, dst = V4_MAPPED_PREFIX + ip[1], V4_MAPPED_PREFIX + ip.get(2, bytes(4))
    else:
        src, dst = ip.get(3, bytes(16)), ip.get(4, bytes(16))
    return _Tuple(src, dst, src_port, dst_port, number)
