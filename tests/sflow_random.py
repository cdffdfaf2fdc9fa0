# SPDX-License-Identifier: Apache-2.0
"""For tests and fuzzing: random packets in samples as switches send them, with what the device says of their route."""

from __future__ import annotations

import random
from collections.abc import Iterator

from sflow_kit import address, datagram, ethernet, flow_sample, ipv4, ipv6, label, part, raw, tcp, udp, words


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
