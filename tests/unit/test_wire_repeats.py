# SPDX-License-Identifier: Apache-2.0
"""Copies of datagrams are left out, and nothing else is (trap 87: duplicates told apart from loss and reorder)."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from flowgauge.wire import repeats as repeats_module
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.repeats import Repeats
from legacy_kit import datagram5, record5


def left(memory: Repeats, *payloads: bytes, source: str = "192.0.2.1", port: int = 7) -> list[bytes]:
    kept, repeated = memory.without(Datagrams.from_payloads(payloads, source, port))
    assert len(kept) + repeated == len(payloads)
    return [kept.payloads[row, : kept.lengths[row]].tobytes() for row in range(len(kept))]


LONG = [datagram5(*[record5()] * 30, sequence=number) for number in (0, 30, 60)]
SHORT = [b"", b"x", b"y", bytes(31), bytes(95)]
EDGE = [bytes(96), bytes(97), b"z" * 96]


@pytest.mark.parametrize("payloads", [LONG, SHORT, EDGE, LONG + SHORT + EDGE])
def test_copies_go_within_a_batch_and_between_batches(payloads: list[bytes]) -> None:
    memory = Repeats()
    assert left(memory, *payloads, *payloads) == payloads
    assert left(memory, *payloads) == []
    assert sum(memory.by_sender.values()) == 2 * len(payloads)


def test_the_same_from_another_sender_or_port_is_no_copy() -> None:
    memory = Repeats()
    assert left(memory, *LONG) == LONG
    assert left(memory, *LONG, source="192.0.2.2") == LONG
    assert left(memory, *LONG, port=8) == LONG


@pytest.mark.parametrize("length", [40, 95, 96, 200, 1464])
def test_whatever_differs_in_header_or_tail_is_no_copy(length: int) -> None:
    memory, payload = Repeats(), bytearray(np.random.default_rng(length).integers(0, 256, length, np.uint8))
    variants = [bytes(payload)]
    for place in {*range(min(64, length)), *range(max(length - 32, 0), length)}:
        for bit in (0, 7):
            changed = payload.copy()
            changed[place] ^= 1 << bit
            variants.append(bytes(changed))
    assert left(memory, *variants) == variants
    assert left(memory, bytes(payload) + b"\0") == [bytes(payload) + b"\0"]


def test_what_a_reused_buffer_holds_behind_a_datagram_does_not_matter() -> None:
    clean, dirty = Datagrams.from_payloads([LONG[0], bytes(40)]), Datagrams.from_payloads([LONG[0], bytes(40)])
    dirty.payloads[1, 40:] = 0xAA
    memory = Repeats()
    assert memory.without(clean)[1] == 0
    assert memory.without(dirty)[1] == 2


def test_half_a_million_different_datagrams_are_all_let_through() -> None:
    """As one exporter sends them: only the number differs."""
    memory, head = Repeats(), LONG[0][:16]
    for batch in range(50):
        payloads = [head + struct.pack("!I", batch * 10_000 + number) + LONG[0][20:] for number in range(10_000)]
        slots = Datagrams.from_payloads(payloads[:1])
        rows = np.frombuffer(b"".join(payloads), np.uint8).reshape(len(payloads), -1)
        columns = (np.resize(column, (len(rows), *column.shape[1:])) for column in (slots.source_addr, slots.source_port))
        datagrams = Datagrams(rows, np.full(len(rows), rows.shape[1], np.int32), *columns, np.zeros(len(rows), np.int64))
        assert memory.without(datagrams)[1] == 0


def test_copies_are_told_by_sender_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats_module, "MAX_SENDERS", 3)
    memory = Repeats()
    for number in range(10):
        assert left(memory, LONG[0], LONG[0], source=f"192.0.2.{number}") == [LONG[0]]
    assert len(memory.by_sender) == 3
