# SPDX-License-Identifier: Apache-2.0
"""Answers of DNS as bytes: whose addresses count, what a cut-off or hostile message gives, and what of it is told when."""

from __future__ import annotations

import socket
import struct
from typing import Any

import numpy as np
import pytest

from flowgauge.agent import dns_answer, resolved
from flowgauge.agent.resolved import ResolvedNames
from flowgauge.ebpf import abi
from flowgauge.flow.addresses import packed

A, CNAME, TXT, AAAA = 1, 5, 16, 28
SHOP = "shop.example.org"
TO_QUESTION = b"\xc0\x0c"
"""A pointer to the question's name."""


def labels(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\0"


def record(owner: bytes, kind: int, ttl_s: int, data: bytes, class_: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", kind, class_, ttl_s, len(data)) + data


def v4(address: str, owner: bytes = TO_QUESTION, ttl_s: int = 60) -> bytes:
    return record(owner, A, ttl_s, socket.inet_aton(address))


def message(*records: bytes, name: str = SHOP, count: int | None = None) -> bytes:
    head = struct.pack("!6H", 7, 0x8180, 1, len(records) if count is None else count, 0, 0)
    return head + labels(name) + struct.pack("!HH", A, 1) + b"".join(records)


def addresses(raw: bytes) -> dict[str, int]:
    return {
        socket.inet_ntop(socket.AF_INET6, key).removeprefix("::ffff:"): ttl
        for key, ttl in dns_answer.resolved(raw).addresses.items()
    }


def test_each_address_of_either_family_counts_with_its_time_to_live() -> None:
    six = record(TO_QUESTION, AAAA, 30, socket.inet_pton(socket.AF_INET6, "2001:db8::1"))
    found = dns_answer.resolved(message(v4("192.0.2.1"), v4("192.0.2.2", ttl_s=5), six, name="Shop.Example.ORG"))
    assert (found.name, found.whole) == (SHOP, True)
    assert addresses(message(v4("192.0.2.1"), v4("192.0.2.2", ttl_s=5), six)) == {
        "192.0.2.1": 60, "192.0.2.2": 5, "2001:db8::1": 30,
    }  # fmt: skip


def test_a_chain_of_aliases_ends_at_the_questions_name_and_its_shortest_time_to_live() -> None:
    chain = [
        record(TO_QUESTION, CNAME, 20, labels("Edge.example.net")),
        record(labels("edge.EXAMPLE.net"), CNAME, 300, labels("host.example.net")),
        v4("192.0.2.9", labels("host.example.net"), 100),
    ]
    found = dns_answer.resolved(message(*chain))
    assert (found.name, found.addresses) == (SHOP, {packed("192.0.2.9"): 20})


def test_an_address_of_a_name_that_nobody_asked_for_is_nobodys() -> None:
    strange = v4("192.0.2.66", labels("bank.example.com"))
    assert addresses(message(strange, v4("192.0.2.1"))) == {"192.0.2.1": 60}


def test_records_of_other_types_classes_and_lengths_are_passed_over() -> None:
    others = [
        record(TO_QUESTION, TXT, 60, b"\x04text"),
        record(TO_QUESTION, A, 60, socket.inet_aton("192.0.2.3"), class_=3),
        record(TO_QUESTION, A, 60, b"\1\2\3"),
        record(TO_QUESTION, AAAA, 60, b"\1\2\3\4"),
    ]
    assert addresses(message(*others, v4("192.0.2.1"))) == {"192.0.2.1": 60}


def test_a_time_to_live_beyond_31_bits_is_none() -> None:
    assert addresses(message(v4("192.0.2.1", ttl_s=0xFFFF_FFFF))) == {"192.0.2.1": 0}


def test_what_is_cut_off_gives_what_is_there_and_says_so() -> None:
    whole = message(v4("192.0.2.1"), v4("192.0.2.2"))
    for cut in range(len(whole) - 16, len(whole)):
        found = dns_answer.resolved(whole[:cut])
        assert (found.addresses, found.whole) == ({packed("192.0.2.1"): 60}, False)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        message()[:11],
        struct.pack("!6H", 7, 0x8180, 2, 0, 0, 0),
        struct.pack("!6H", 7, 0x8180, 1, 1, 0, 0) + TO_QUESTION,  # a name that points at itself
        struct.pack("!6H", 7, 0x8180, 1, 1, 0, 0) + b"\x3fabc",
        struct.pack("!6H", 7, 0x8180, 1, 1, 0, 0) + b"\x40" + bytes(64) + b"\0\0\1\0\1",  # a label too long to be one
    ],
)
def test_what_is_no_answer_to_one_question_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"header|question|does not end"):
        dns_answer.resolved(raw)


def pieces(raw: bytes, client: str = "10.0.0.1", size: int = 512, at_ns: int = 1) -> Any:
    """As the kernel copies them."""
    found = np.zeros(-(-len(raw) // size), abi.ANSWER_PIECE)
    found["flow"]["src_addr"], found["at_ns"] = np.frombuffer(packed(client), np.uint8), at_ns
    for number, piece in enumerate(found):
        part = raw[number * size : (number + 1) * size]
        piece["at"], piece["length"], piece["data"][: len(part)] = number * size, len(part), np.frombuffer(part, np.uint8)
    return found


class Clock:
    """A clock that stands still."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def told(names: ResolvedNames) -> list[tuple[str, int]]:
    return [(one.name, one.address[15]) for one in names.due()]


def test_a_message_in_pieces_is_put_together_beside_others() -> None:
    names = ResolvedNames()
    long, short = message(*(v4(f"192.0.2.{number}") for number in range(1, 101))), message(v4("192.0.2.200"), name="b.example")
    first, other = pieces(long, size=100), pieces(short, at_ns=2)
    names.add(np.concatenate([first[:3], other, first[3:]]))
    assert sorted(told(names)) == [("b.example", 200), *((SHOP, number) for number in range(1, 101))]
    assert names.unread == 0


def test_pieces_without_their_beginning_and_messages_without_their_end_are_counted() -> None:
    names = ResolvedNames()
    parts = pieces(message(*(v4(f"192.0.2.{number}") for number in range(1, 41))), size=100)
    names.add(parts[1:])
    assert (told(names), names.unread) == ([], 1)
    names.add(np.delete(parts, 2))
    assert names.unread == 2
    assert len(told(names)) == (200 - len(message())) // len(v4("192.0.2.1"))


def test_no_address_one_of_the_clients_own_and_a_groups_name_nobody() -> None:
    names = ResolvedNames()
    names.add(pieces(message(*map(v4, ("0.0.0.0", "127.0.0.1", "224.0.0.251", "192.0.2.1")))))
    assert told(names) == [(SHOP, 1)]


def test_the_same_answer_is_told_once_in_a_while_and_another_at_once() -> None:
    clock = Clock()
    names = ResolvedNames(clock)
    for name, expected in [(SHOP, [(SHOP, 1)]), (SHOP, []), ("b.example", [("b.example", 1)]), (SHOP, [(SHOP, 1)])]:
        names.add(pieces(message(v4("192.0.2.1"), name=name)))
        assert told(names) == expected
        clock.now += resolved.SAME_S / 10
    clock.now += resolved.SAME_S
    names.add(pieces(message(v4("192.0.2.1"))))
    assert told(names) == [(SHOP, 1)]


def test_what_was_told_long_ago_is_told_again_while_it_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolved, "MAX_PAIRS", 2)
    clock = Clock()
    names = ResolvedNames(clock)
    for number in (1, 2, 3):
        names.add(pieces(message(v4(f"192.0.2.{number}"))))
    assert len(told(names)) == 3
    clock.now += resolved.TELL_AGAIN_S
    assert sorted(told(names)) == [(SHOP, 2), (SHOP, 3)]
    assert told(names) == []


def test_names_beyond_what_one_export_tells_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolved, "MAX_TOLD", 10)
    names = ResolvedNames()
    names.add(pieces(message(*(v4(f"192.0.2.{number}") for number in range(1, 13)))))
    assert (len(names.due()), names.left_out) == (10, 2)
