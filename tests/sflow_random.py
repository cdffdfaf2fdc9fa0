# SPDX-License-Identifier: Apache-2.0
"""For tests and fuzzing: random packets in samples as switches send them, with what the device says of their route."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Iterator, Sequence

from sflow_kit import (
    address,
    datagram,
    discarded,
    ethernet,
    expanded_sample,
    flow_sample,
    ipv4,
    ipv6,
    label,
    part,
    raw,
    tcp,
    udp,
    words,
)


def random_packet(chance: random.Random) -> bytes:
    """A frame of some encapsulation; heads of 128 bytes as switches send them."""
    more = bytes(chance.randrange(80))
    content = chance.choice((
        (6, tcp(chance.randrange(1, 1 << 16), chance.choice((80, 443, 8080)), chance.randrange(1, 512), more)),
        (17, udp(chance.randrange(1024, 1 << 16), chance.randrange(30_000, 40_000), more)),
        (132, udp(chance.randrange(1, 1 << 16), 36412)[:4] + bytes(8)),
    ))  # fmt: skip
    tags = chance.choice(([], [], [(0x8100, chance.randrange(1, 4095))], [(0x88A8, 7), (0x8100, chance.randrange(1, 4095))]))
    if chance.random() < 0.3:
        packet = ipv6(*content, src=f"2001:db8::{chance.randrange(1, 9999):x}", traffic_class=chance.randrange(256),
                      hops=chance.randrange(1, 256))  # fmt: skip
        return ethernet(0x86DD, packet, tags=tags)
    packet = ipv4(*content, src=f"10.{chance.randrange(256)}.{chance.randrange(256)}.1", tos=chance.randrange(256),
                  ttl=chance.randrange(1, 256))  # fmt: skip
    if chance.random() < 0.2:
        return ethernet(0x8847, label(chance.randrange(16, 1 << 20)) + label(17, bottom=True) + packet)
    return ethernet(0x0800, packet, tags=tags)


def sflow_payloads(seed: int, count: int) -> Iterator[bytes]:
    """One sample a datagram, so that its fields are told from others'."""
    chance = random.Random(seed)  # noqa: S311 - the same each time
    for number in range(1, count + 1):
        packet = random_packet(chance)
        source = chance.randrange(1, 60)
        hop = f"192.0.2.{number % 250 + 1}"
        router = part(1002, address(hop) + words(chance.randrange(33), chance.randrange(33)))
        systems = [chance.randrange(1, 1 << 31) for _ in range(4)]
        path = words(1, 2, 2, *systems[2:]) + words(0, 100)
        gateway = part(1003, address("198.51.100.8") + words(*systems[:2], 64502) + path)
        head = raw(packet[:128], frame=len(packet) + 4, stripped=4)
        sample = flow_sample(head, router, gateway, sequence=number, source=source,
                             rate=chance.randrange(1, 10_000), ports=(source, chance.randrange(61, 99)))  # fmt: skip
        yield datagram(sample, sequence=number)


def device_payloads(seed: int, count: int) -> Iterator[bytes]:
    """Samples of every kind, with any of the records that tell what the device did, and counters."""
    chance = random.Random(seed)  # noqa: S311 - the same each time
    for number in range(1, count + 1):
        kind = chance.choice((flow_sample, expanded_sample, discarded, None))
        if kind is None:
            yield datagram(_counters(chance, number), sequence=number, agent=_address(chance), sub_agent=chance.randrange(4))
            continue
        packet = random_packet(chance)
        shown = raw(packet[:128], frame=len(packet) + 4) if chance.random() < 0.7 else _parsed(chance)
        told = chance.sample([make(chance) for make in _DEVICE], chance.randrange(4))
        yield datagram(kind(shown, *told, sequence=number), sequence=number, agent=_address(chance))


def _parsed(chance: random.Random) -> bytes:
    """What agents send that have no head."""
    proto = words(chance.choice((6, 17, 1)))
    ends = words(chance.randrange(1 << 16), chance.randrange(1 << 16), chance.randrange(256), chance.randrange(256))
    frame = words(chance.randrange(64, 1519)) + b"".join(chance.randbytes(6) + bytes(2) for _ in range(2)) + words(0x86DD)
    return chance.choice((
        part(2, frame),
        part(3, words(chance.randrange(20, 1500)) + proto + chance.randbytes(8) + ends),
        part(4, words(chance.randrange(40, 1500)) + proto + chance.randbytes(32) + ends),
    ))  # fmt: skip


def _counters(chance: random.Random, number: int) -> bytes:
    """An interface's, and some of Ethernet, a VLAN, or the processor."""
    interface = part(1, words(*(chance.getrandbits(32) for _ in range(22))))
    more = [part(tag, words(*(chance.getrandbits(32) for _ in range(size)))) for tag, size in ((2, 13), (5, 7), (1001, 7))]
    records = [interface, *chance.sample(more, chance.randrange(4))]
    source = chance.randrange(1, 1 << 24)
    if chance.random() < 0.5:
        return part(2, words(number, source, len(records)) + b"".join(records))
    return part(4, words(number, chance.randrange(3), source, len(records)) + b"".join(records))


def _address(chance: random.Random) -> str:
    return str(ipaddress.ip_address(chance.randbytes(chance.choice((4, 16)))))


def _gateway(chance: random.Random) -> bytes:
    systems = [[chance.getrandbits(32) for _ in range(chance.randrange(4))] for _ in range(chance.randrange(4))]
    path = b"".join(words(chance.choice((1, 2)), len(segment), *segment) for segment in systems)
    head = address(_address(chance)) + words(*(chance.getrandbits(32) for _ in range(3)), len(systems))
    return part(1003, head + path + words(1, chance.getrandbits(32), 100))


def _labels(chance: random.Random) -> bytes:
    stacks = [[chance.getrandbits(32) & ~0x100 for _ in range(chance.randrange(5))] for _ in range(2)]
    return part(1006, address(_address(chance)) + b"".join(words(len(stack), *stack) for stack in stacks))


_DEVICE: Sequence[Callable[[random.Random], bytes]] = (
    lambda chance: part(1001, words(chance.randrange(5000), 0, chance.randrange(5000), 0)),
    lambda chance: part(1002, address(_address(chance)) + words(chance.randrange(130), chance.randrange(130))),
    lambda chance: part(1007, address(_address(chance)) + address(_address(chance))),
    lambda chance: part(1012, words(2, chance.getrandbits(32), chance.getrandbits(32))),
    _gateway,
    _labels,
)
"""Makers of records: switch, router, NAT, tags taken off, gateway, labels."""
