# SPDX-License-Identifier: Apache-2.0
"""Broken NetFlow 1, 5, 7 and sFlow for tests and fuzzing: the golden cases, changed as damage, odd devices and attackers do."""

from __future__ import annotations

import struct

import wire_mutations
from legacy_kit import datagram5, record5
from sflow_kit import (
    address,
    datagram,
    discarded,
    ethernet,
    expanded_sample,
    flow_sample,
    ipv4,
    ipv6,
    part,
    raw,
    tcp,
    udp,
    words,
)
from wire_cases import CASES
from wire_mutations import NUMBERS

RECORDS = (1, 2, 3, 4, 1001, 1002, 1003, 1004, 1006, 1007, 1012, 1020, 1021, 1042, 9 << 12 | 1)
KINDS = (0x0800, 0x86DD, 0x8847, 0x8864, 0x8100, 100)
WORDS = (0, 1, 2, 3, 4, 8, 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF, *NUMBERS)


class Mutator(wire_mutations.Mutator):
    """The same changes to other datagrams, and whole 32-bit words, of which sFlow is made."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._corpus = [payload for case in CASES.values() for payload in case.payloads]
        self._changes = (*self._changes, self._word, self._word, self._word, self._drop_words)

    def _invented(self) -> bytes:
        """Known records with any content, in samples of any kind; or NetFlow 5 with any header."""
        chance = self._random
        if chance.random() < 0.1:
            head = bytearray(datagram5(*[record5()] * chance.randrange(31), count=chance.choice(NUMBERS)))
            head[4:24] = chance.randbytes(20)
            return bytes(head)
        records = [self._record() for _ in range(chance.randrange(6))]
        kind = chance.choice((flow_sample, flow_sample, expanded_sample, discarded))
        samples = [kind(*records, sequence=chance.choice(WORDS)) for _ in range(chance.randrange(1, 5))]
        return datagram(*samples, sequence=chance.choice(WORDS), sub_agent=chance.randrange(3), uptime_ms=chance.choice(WORDS))

    def _record(self) -> bytes:
        chance = self._random
        if chance.random() < 0.5:
            return raw(self._frame(), protocol=chance.choice((1, 1, 1, 7, 11, 12, 13, 200)), frame=chance.choice(WORDS),
                       stripped=chance.choice((0, 4, 18, 0xFFFFFFFF)))  # fmt: skip
        content = chance.choice((b"", address("192.0.2.1"), address("2001:db8::1"), words(chance.choice(WORDS))))
        return part(chance.choice(RECORDS), content + chance.randbytes(chance.randrange(60)))

    def _frame(self) -> bytes:
        """Layers in any order, cut anywhere."""
        chance = self._random
        packet = chance.choice(
            (tcp(), udp(5, 4789, b"\x08" + bytes(7)), udp(5, 6081, chance.randbytes(8)), chance.randbytes(30))
        )
        for _ in range(chance.randrange(4)):
            packet = chance.choice((
                ipv4(chance.choice((6, 17, 1, 4, 41, 47)), packet, fragment=chance.choice((0, 0, 1, 0x2000))),
                ipv6(chance.choice((6, 17, 58, 0, 43, 44, 51, 60, 4)), packet),
                ethernet(chance.choice(KINDS), packet, tags=[(0x8100, 5)] * chance.randrange(4)),
                struct.pack("!I", chance.getrandbits(32)) + packet,
                bytes((chance.randrange(256), chance.randrange(4), 0, 1, 0, 0, 0, 0)) + packet,
            ))  # fmt: skip
        return packet[: chance.randrange(1, 200)]

    def _word(self, data: bytearray) -> None:
        at = self._at(data) & ~3
        if at + 4 <= len(data):
            struct.pack_into("!I", data, at, self._random.choice(WORDS))

    def _drop_words(self, data: bytearray) -> None:
        at = self._at(data) & ~3
        del data[at : at + 4 * self._random.randrange(1, 9)]

    def _fix_length(self, data: bytearray) -> None:
        """Makes the count of a NetFlow header fit what the other changes made."""
        if len(data) >= 24 and data[:2] == b"\0\5":
            struct.pack_into("!H", data, 2, (len(data) - 24) // 48)
