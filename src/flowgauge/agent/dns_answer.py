# SPDX-License-Identifier: Apache-2.0
"""Reads the addresses in an answer of DNS (RFC 1035 §4, RFC 3596): a pure function of bytes, which may be anything.

Before: the pieces that the kernel copied; after: :mod:`flowgauge.agent.resolved`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from flowgauge.agent import dns_text
from flowgauge.flow.addresses import V4_MAPPED_PREFIX

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")
_A, _CNAME, _AAAA, _IN = 1, 5, 28, 1
_LENGTHS = {_A: 4, _AAAA: 16}
_POINTER = 0xC0
_LONGEST_NAME = 255
_MAX_JUMPS = 16
"""Pointers that one name may follow; servers write two or three."""
_LONGEST_TTL_S = (1 << 31) - 1
"""A larger one counts as 0 (RFC 2181 §8)."""

Name = bytes
"""Its labels with their lengths, in lower case, without the root's: bytes, whose hash is computed once."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a name stands for.

    Attributes:
        name: that of the question, whatever other names lead from it to the addresses.
        addresses: 16 bytes each, IPv4 as v4-mapped, and for how many seconds each holds.
        whole: whether the message went on to the last of the records that it says to hold.
    """

    name: str
    addresses: dict[bytes, int]
    whole: bool


def resolved(message: bytes) -> Resolved:
    """The addresses of the question's name in the answer section, found by way of the aliases there.

    An address of any other name is nobody's: a server may say what it likes of names that are not its own. A message that
    is cut off gives what is there.

    Raises:
        ValueError: it is no answer to one question.
    """
    if len(message) < _HEADER.size:
        raise ValueError("shorter than its header")
    _, _, questions, count, _, _ = _HEADER.unpack_from(message)
    if questions != 1:
        raise ValueError(f"one question expected, {questions} found")
    names_in = _Names(message)
    asked, at = names_in.at(_HEADER.size)
    names: dict[Name, int] = {asked: _LONGEST_TTL_S}
    found: dict[bytes, int] = {}
    seen = 0
    for owner, kind, own_ttl_s, rdata, data_at in _records(message, names_in, at + 4, count):
        seen += 1
        if owner not in names:
            continue
        ttl_s = min(names[owner], own_ttl_s)
        if kind == _CNAME:
            names.setdefault(names_in.at(data_at)[0], ttl_s)
        elif kind in _LENGTHS and len(rdata) == _LENGTHS[kind]:
            address = V4_MAPPED_PREFIX + rdata if kind == _A else rdata
            found[address] = min(found.get(address, ttl_s), ttl_s)
    return Resolved(dns_text.question(message[_HEADER.size :])[0], found, seen == count)


def _records(message: bytes, names: _Names, at: int, count: int) -> Iterator[tuple[Name, int, int, bytes, int]]:
    """Owner, type, time to live, data and where that is, of each record that is there; those of classes but IN are nobody's."""
    for _ in range(count):
        try:
            owner, at = names.at(at)
        except ValueError:
            return
        if at + _RECORD.size > len(message):
            return
        kind, class_, ttl_s, length = _RECORD.unpack_from(message, at)
        data_at = at + _RECORD.size
        at = data_at + length
        if at > len(message):
            return
        right = class_ == _IN
        yield (
            owner if right else b"",
            kind if right else 0,
            ttl_s if ttl_s <= _LONGEST_TTL_S else 0,
            message[data_at:at],
            data_at,
        )


class _Names:
    """The names of one message; each is read once, so that one which is referred to again and again costs no more."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._known: dict[int, tuple[Name, int]] = {}

    def at(self, begin: int, jumps: int = 0) -> tuple[Name, int]:
        """A name, and where what follows it begins; ValueError when it does not end."""
        if begin not in self._known:
            self._known[begin] = self._read(begin, jumps)
        return self._known[begin]

    def _read(self, begin: int, jumps: int) -> tuple[Name, int]:
        name = b""
        at, message = begin, self._message
        while at + 1 < len(message) and at - begin < _LONGEST_NAME and message[at]:
            length = message[at]
            if length >= _POINTER:
                target = (length & ~_POINTER) << 8 | message[at + 1]
                if target >= begin or jumps == _MAX_JUMPS:  # only to what came before (RFC 1035 §4.1.4)
                    break
                behind = self.at(target, jumps + 1)[0]
                return name + behind if name else behind, at + 2
            if length > dns_text.LONGEST_LABEL:  # no label, and no pointer either (RFC 1035 §4.1.4)
                break
            name += message[at : at + 1 + length].lower()  # lengths are no letters
            at += 1 + length
        if at >= len(message) or message[at]:
            raise ValueError(f"the name at byte {begin} does not end")
        return name, at + 1
