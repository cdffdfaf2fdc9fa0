# SPDX-License-Identifier: Apache-2.0
"""Flow exports out of captured packets: link layer, IP with its fragments, tunnels, UDP, and IPFIX over TCP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from flowgauge.errors import WireError
from flowgauge.wire.captures.links import LINKS, NO_IP
from flowgauge.wire.captures.network import TCP, UDP, Fragments, Transport, read_ip
from flowgauge.wire.captures.packet import Export, Packet
from flowgauge.wire.captures.recognise import Recogniser
from flowgauge.wire.captures.tcp import TcpStreams
from flowgauge.wire.captures.tunnels import MAX_TUNNELS, within

_UDP_HEADER = 8


def exports(packets: Iterable[Packet], counts: Counter[str]) -> Iterator[Export]:
    """The exports among packets, in the order of capture; a message of a stream when its last byte has come.

    ``counts`` gets ``packets``; ``unknown_link_<type>`` (packets of link types we cannot read); ``other_datagrams`` (UDP, but
    no export); ``cut_datagrams`` (exports of which the capture holds only the beginning); and those of fragments and streams.

    Raises:
        WireError: from ``packets``, once everything before it has been given.
    """
    dissector = _Dissector(counts)
    damage: WireError | None = None
    try:
        for packet in packets:
            counts["packets"] += 1
            yield from dissector.take(packet)
    except WireError as error:
        damage = error
    yield from dissector.finish()
    if damage:
        raise damage


class _Dissector:
    """Takes one capture apart."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._fragments = Fragments(counts)
        self._streams = TcpStreams(counts)
        self._recogniser = Recogniser()
        self._time_ns = self._number = 0

    def take(self, packet: Packet) -> Iterable[Export]:
        """The exports that are whole with this packet: at most one of UDP, any number of TCP."""
        self._number += 1
        self._time_ns = packet.time_ns
        find = LINKS.get(packet.link)
        if find is None:
            self._counts[f"unknown_link_{packet.link}"] += 1
            return ()
        at = find(packet.data)
        if at == NO_IP:
            return ()
        transport = read_ip(packet.data[at:], self._fragments, packet.time_ns)
        for _ in range(MAX_TUNNELS):
            if transport is None or not (inner := within(transport)):
                break
            transport = read_ip(inner, self._fragments, packet.time_ns)
        if transport is None:
            return ()
        if transport.proto == UDP:
            return self._udp(transport)
        if transport.proto == TCP:
            found = self._streams.add(transport.sender, transport.receiver, transport.payload)
            return [self._export(one, transport.sender, transport.payload) for one in found]
        return ()

    def finish(self) -> Iterator[Export]:
        """What is left at the end of the capture."""
        self._fragments.finish()
        for sender, ports, messages in self._streams.finish():
            for message in messages:
                yield self._export(message, sender, ports)

    def _export(self, payload: bytes, sender: bytes, ports: bytes, missing: int = 0) -> Export:
        return Export(payload, sender, int.from_bytes(ports[:2], "big"), self._time_ns, self._number, missing)

    def _udp(self, transport: Transport) -> Iterable[Export]:
        datagram = transport.payload
        if len(datagram) < _UDP_HEADER:
            return ()
        length = int.from_bytes(datagram[4:6], "big") or len(datagram)
        payload = datagram[_UDP_HEADER:length]
        port = int.from_bytes(datagram[2:4], "big")
        missing = max(length - len(datagram), 0)
        if not self._recogniser.is_export(payload, transport.receiver, port, self._time_ns, missing):
            self._counts["other_datagrams"] += 1
            return ()
        if missing:
            self._counts["cut_datagrams"] += 1
        return (self._export(payload, transport.sender, datagram, missing),)
