# SPDX-License-Identifier: Apache-2.0
"""Broken IPFIX and NetFlow v9 for tests and fuzzing: real messages, changed as damage, odd devices and attackers do."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import netflow9_kit as v9
from flowgauge.agent.messages import Messages
from flowgauge.agent.settings import AgentSettings
from flowgauge.config.model import Exporter
from flowgauge.schema.columns import COLUMNS
from wire_kit import BASIC, EXPORT_S, PEN, VARIABLE, Spec, a_set, basic, basic_template, message, random_flows, template

NUMBERS = (0, 1, 2, 3, 4, 5, 15, 16, 255, 256, 257, 0x7FFF, 0x8000, 0x8001, 0xFFFE, 0xFFFF)
"""Lengths, ids and counts at which parsers break."""
HEADER_BYTES = {9: 20, 10: 16}
"""Of the protocols that have sets, by version."""
MAX_BYTES = 4000
REVERSE = 29305
_INVENTED_SHARE, _OWN_SHARE = 0.2, 0.2
_LENGTHS = (0, 1, 2, 3, 4, 4, 5, 6, 8, 8, 9, 16, 17, 300, VARIABLE)
_ELEMENTS = (
    *(number for entry in COLUMNS for number in (entry.element, entry.element_v6) if number),
    *range(20, 40), *range(140, 180), 48, 50, 85, 86, 104, 224, 231, 232, 233, 252, 253, *range(291, 313), 313, 315, 322, 323,
    324, 325,
)  # fmt: skip
"""Those that a column or a rule reads, and some that nothing does."""


def corpus() -> list[bytes]:
    """Whole messages: an agent's, every length of field, strings, options, structures that may be misread."""
    agent = Messages(AgentSettings(node="node-a", obs_domain_id=1))
    ours = [*agent.templates(), *agent.flows(random_flows(60, seed=1)), *agent.options({}, {1: "lo", 2: "eth0"}, Exporter())]
    every: list[Spec] = [(number, 1 + number % 9) for number in range(1, 110)]
    text: list[Spec] = [(8, 4), (82, VARIABLE), (1, 8), (96, VARIABLE), (95, VARIABLE), (1, 1, PEN)]
    record = bytes((10, 0, 0, 1)) + b"\x04eth0" + bytes(8) + b"\xff\0\x03dns" + b"\x02\0\x35" + b"\1"
    options: list[Spec] = [(149, 4), (300, VARIABLE), (160, 8), (34, 4)]
    told = struct.pack("!I", 1) + b"\x06node-a" + struct.pack("!QI", 1_766_000_000_000, 100)
    return [
        *(one.payload for one in ours),
        *_of_all_kinds(),
        message(basic_template(), a_set(256, basic(1), basic(2), b"\0\0"), a_set(257, basic(3))),
        message(a_set(2, template(300, every)), a_set(300, bytes(range(256)) * 4)),
        message(a_set(2, template(301, text)), a_set(301, record, record, record)),
        message(a_set(3, template(302, options, scope=1)), a_set(302, told, told)),
        message(a_set(2, template(256, BASIC), struct.pack("!HH", 256, 0), template(257, BASIC)), a_set(256, basic(1))),
        message(a_set(2, template(303, [(0, 0)] * 40 + [(1, 1)])), a_set(303, bytes(300))),
        message(*[a_set(2)] * 200),
        message(a_set(256, basic(1))) + message(a_set(256, basic(2)), sequence=1),
    ]


def _of_all_kinds() -> list[bytes]:
    """Both directions, lists within lists, packets, connection events, sampling, relays; and the same in NetFlow v9."""
    both: list[Spec] = [
        (8, 4),
        (12, 4),
        (130, 4),
        (1, 4),
        (1, 4, REVERSE),
        (2, 2, REVERSE),
        (152, 8, REVERSE),
        (4, 1),
        (6, 1, REVERSE),
    ]
    lists: list[Spec] = [(8, 4), (291, VARIABLE), (292, VARIABLE), (293, VARIABLE), (1, 4)]
    basic_list = b"\x0d\x03\x00\x0a\x00\x04" + struct.pack("!II", 1, 2)
    sub_list = b"\x0f\x03" + struct.pack("!H", 311) + bytes(4) + b"\x07\x03\x01\x23\xff\xff\x01a"
    multi_list = b"\x0b\x03" + struct.pack("!HH", 312, 10) + bytes(6)
    frame = bytes(12) + struct.pack("!HHH", 0x8100, 7, 0x0800) + b"\x45" + bytes(19) + bytes(20)
    events: list[Spec] = [(148, 4), (233, 1), (231, 4), (232, 4), (8, 4), (12, 4), (323, 8)]
    event = [struct.pack("!IBII", 7, kind, 100, 50) + bytes(8) + struct.pack("!Q", EXPORT_S * 1000) for kind in (1, 5, 5, 2)]
    rates: list[Spec] = [(48, 1), (50, 4), (305, 4), (306, 4), (309, 4), (310, 4), (311, 8), (10, 4), (145, 2)]
    nested = template(311, [(8, 4), (291, VARIABLE)]), template(312, [(56, 6)])
    return [
        message(a_set(2, template(310, both)), a_set(310, bytes(range(120)) * 3)),
        message(a_set(2, template(313, lists), *nested), a_set(313, bytes(4) + basic_list + sub_list + multi_list + bytes(4))),
        message(a_set(2, template(314, [(315, VARIABLE), (312, 2)])), a_set(314, bytes((len(frame),)) + frame + b"\x05\xdc")),
        message(a_set(2, template(315, [(313, 40)])), a_set(315, frame[18:] * 4)),
        message(a_set(2, template(316, events)), a_set(316, *event)),
        message(a_set(3, template(317, rates, scope=1)), a_set(317, bytes(range(33)) * 4)),
        v9.packet(v9.basic_template(), v9.flowset(256, v9.basic(1), v9.basic(2), pad=3)),
        v9.packet(v9.flowset(1, v9.options_template(257, [(1, 4), (2, 4)], [(34, 4), (48, 1), (82, 8)])),
                  v9.flowset(257, bytes(63))),
        v9.packet(v9.flowset(0, v9.template(258, [(8, 4), (96, VARIABLE), (57591, 8), (33000, 12), (21, 4), (22, 4), (1, 3)])),
                  v9.flowset(258, bytes(range(200)))),
        v9.packet(v9.flowset(0, v9.template(259, [(1, 1)])), v9.flowset(259, b"\1\2\3"), bytes(40), count=9),
    ]  # fmt: skip


class Mutator:
    """Changes messages at random, the same for the same ``seed``."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - must be the same again for a seed
        self._corpus = corpus()
        self._changes: tuple[Callable[[bytearray], None], ...] = (
            self._bit, self._octet, self._number, self._number, self._cut, self._repeat, self._splice, self._fix_length,
            self._reorder, self._set_head,
        )  # fmt: skip

    def seed(self, seed: int) -> None:
        """Begins anew."""
        self._random.seed(seed)

    def change(self, data: bytearray) -> None:
        """One change of one datagram."""
        self._random.choice(self._changes)(data)

    def datagram(self) -> bytes:
        """One message with up to six changes; now and then none, so that templates are learnt and then contradicted."""
        if self._random.random() < _INVENTED_SHARE:
            return self._invented()
        data = bytearray(self._random.choice(self._corpus))
        for _ in range(self._random.choice((0, 0, 1, 1, 1, 2, 3, 6))):
            self.change(data)
        return bytes(data[:MAX_BYTES])

    def batch(self, most: int) -> list[bytes]:
        """Some datagrams."""
        return [self.datagram() for _ in range(self._random.randint(1, most))]

    def _invented(self) -> bytes:
        """A template of any elements in any lengths, and random data for it."""
        fields: list[Spec] = []
        for _ in range(self._random.randint(1, 30)):
            number, length = self._random.choice(_ELEMENTS), self._random.choice(_LENGTHS)
            ours = self._random.random() < _OWN_SHARE
            pen = self._random.choice((PEN, REVERSE, REVERSE, 9, 2636, 35632, 424242, 0xFFFFFFFF))
            fields.append(
                (self._random.choice((number, self._random.randrange(1, 8000))), length, pen) if ours else (number, length)
            )
        template_id = self._random.randrange(256, 264)
        scope = self._random.choice((0, 0, 0, 1))
        data = a_set(template_id, self._random.randbytes(self._random.randrange(1200)))
        return message(a_set(3 if scope else 2, template(template_id, fields, scope)), data, domain=self._random.randrange(3))

    def _at(self, data: bytearray) -> int:
        return self._random.randrange(len(data)) if data else 0

    def _bit(self, data: bytearray) -> None:
        if data:
            data[self._at(data)] ^= 1 << self._random.randrange(8)

    def _octet(self, data: bytearray) -> None:
        if data:
            data[self._at(data)] = self._random.choice((0, 1, 2, 3, 127, 128, 254, 255))

    def _number(self, data: bytearray) -> None:
        at = self._at(data) & ~1
        if at + 2 <= len(data):
            struct.pack_into("!H", data, at, self._random.choice(NUMBERS))

    def _cut(self, data: bytearray) -> None:
        del data[self._at(data) :]

    def _repeat(self, data: bytearray) -> None:
        first = self._at(data)
        piece = data[first : first + self._random.randrange(1, 64)]
        data[first:first] = piece * self._random.randrange(1, 8)

    def _splice(self, data: bytearray) -> None:
        other = self._random.choice(self._corpus)
        at = self._at(data)
        data[at:] = other[min(at, len(other)) :]

    def _fix_length(self, data: bytearray) -> None:
        """Makes the header fit what the other changes made, so that what is behind it gets read; v9 has no length."""
        if len(data) >= 16 and data[1] != v9.VERSION:
            struct.pack_into("!HH", data, 0, 10, min(len(data), 0xFFFF))

    def _reorder(self, data: bytearray) -> None:
        """Shuffles the sets: data before templates, options first."""
        sets = sets_of(bytes(data))
        if len(sets) > 1:
            self._random.shuffle(sets)
            head = HEADER_BYTES[data[1]]
            data[head:] = b"".join(sets)

    def _set_head(self, data: bytearray) -> None:
        """Another id or length for one set."""
        sets = sets_of(bytes(data))
        if sets:
            before = self._random.randrange(len(sets))
            at = HEADER_BYTES[data[1]] + sum(map(len, sets[:before]))
            length = len(sets[before])
            value = self._random.choice((*NUMBERS, length - 1, length + 1, length + 4, length - 4, 258, 300)) & 0xFFFF
            struct.pack_into("!H", data, at + self._random.choice((0, 2, 2)), value)


def sets_of(message_: bytes) -> list[bytes]:
    """The sets of a message, the last one as long as what is left; none of other protocols."""
    at = HEADER_BYTES.get(int.from_bytes(message_[:2]), len(message_))
    found = []
    while at + 4 <= len(message_):
        length = max(4, int.from_bytes(message_[at + 2 : at + 4]))
        found.append(message_[at : at + length])
        at += length
    return found
