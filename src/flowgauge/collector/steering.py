# SPDX-License-Identifier: Apache-2.0
"""Which receive process gets a datagram: by its source address alone, so that an exporter stays with one of them.

The kernel's own choice among the sockets of a port is by address and port of both ends: it parts an exporter that sends from
several ports, whose sequence numbers and templates belong together. A classic BPF program chooses instead; ``place`` is the
same function here, for what is kept of exporters between two starts. Neighbours: ``udp_socket`` attaches it.
"""

from __future__ import annotations

import struct

from flowgauge.flow.addresses import V4_MAPPED_PREFIX

_NETWORK_HEADER = -0x100000 & 0xFFFFFFFF
"""SKF_NET_OFF (linux/filter.h): offsets from here on are of the IP header, not of the UDP payload."""
_IPV4_SOURCE, _IPV6_SOURCE = 12, 8
_FACTOR = 0x9E3779B1
"""2³² divided by the golden ratio: neighbouring addresses lie far apart in the product's upper half (Knuth)."""
_U32 = 0xFFFFFFFF

# Opcodes of classic BPF (linux/bpf_common.h): class, size or operation, mode or source.
_LOAD_BYTE, _LOAD_WORD, _LOAD_KEPT, _KEEP = 0x30, 0x20, 0x60, 0x02
_TO_INDEX, _XOR_INDEX, _SHIFT_RIGHT, _TIMES, _MODULO = 0x07, 0xAC, 0x74, 0x24, 0x94
_IF_EQUAL, _GOTO, _RETURN = 0x15, 0x05, 0x16


def program(processes: int) -> bytes:
    """The instructions that answer ``place`` of a datagram's source."""
    folded = [one for word in range(1, 4) for one in _fold_in(_IPV6_SOURCE + 4 * word)]
    ipv6 = [_source(_IPV6_SOURCE), *folded]
    ipv4 = [_source(_IPV4_SOURCE)]
    version = [_one(_LOAD_BYTE, _NETWORK_HEADER), _one(_SHIFT_RIGHT, 4)]
    return b"".join(
        [
            *version,
            _one(_IF_EQUAL, 6, no=len(ipv6) + 1),
            *ipv6,
            _one(_GOTO, len(ipv4)),
            *ipv4,
            _one(_TIMES, _FACTOR),
            _one(_SHIFT_RIGHT, 16),
            _one(_MODULO, processes),
            _one(_RETURN, 0),
        ]
    )


def place(address: bytes, processes: int) -> int:
    """The number of the process that gets datagrams of ``address`` (16 bytes, IPv4 as v4-mapped)."""
    words: tuple[int, ...] = struct.unpack("!4I", address)
    folded = words[3] if address.startswith(V4_MAPPED_PREFIX) else words[0] ^ words[1] ^ words[2] ^ words[3]
    return ((folded * _FACTOR & _U32) >> 16) % processes


def _source(offset: int) -> bytes:
    return _one(_LOAD_WORD, _NETWORK_HEADER + offset)


def _fold_in(offset: int) -> list[bytes]:
    """What was loaded so far ^= the word at ``offset``."""
    return [_one(_KEEP, 0), _source(offset), _one(_TO_INDEX, 0), _one(_LOAD_KEPT, 0), _one(_XOR_INDEX, 0)]


def _one(opcode: int, operand: int, *, no: int = 0) -> bytes:
    """One instruction (struct sock_filter); ``no``: how many are passed over when a comparison fails."""
    return struct.pack("=HBBI", opcode, 0, no, operand)
