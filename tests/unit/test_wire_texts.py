# SPDX-License-Identifier: Apache-2.0
"""Columns of strings: each row has its own text, however many share a cell of the table by which they are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from flowgauge.wire import texts
from flowgauge.wire.records import Spans
from flowgauge.wire.texts import names_of, text_of
from flowgauge.wire.views import ByteView


def spans_of(strings: list[bytes]) -> Spans:
    """The strings one behind the other: the last of them ends with the buffer."""
    length = np.array([len(one) for one in strings], np.int64)
    return Spans(ByteView(np.frombuffer(b"".join(strings) or b"\0", np.uint8)), np.cumsum(length) - length, length)


def random_strings(distinct: int, rows: int, longest: int) -> list[bytes]:
    random = np.random.default_rng(3)
    known = [random.integers(1, 256, random.integers(0, longest), np.uint8).tobytes() for _ in range(distinct)]
    return [known[number] for number in random.integers(0, distinct, rows)]


@pytest.mark.parametrize(("distinct", "longest"), [(5, 8), (300, 33), (20_000, 33), (2_000, 90)])
def test_every_row_has_its_own_text(distinct: int, longest: int) -> None:
    strings = random_strings(distinct, 20_000, longest)
    assert names_of(spans_of(strings)).to_list() == [text_of(one) for one in strings]


def test_strings_that_all_share_a_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_MIX", np.zeros(4, np.uint64))  # as if an attacker had chosen them
    strings = random_strings(50, 500, 33)
    assert names_of(spans_of(strings)).to_list() == [text_of(one) for one in strings]


def test_strings_that_differ_in_what_follows_them_only_are_one() -> None:
    names = names_of(spans_of([b"eth0", b"eth1", b"eth0", b"eth0\0", b"", b"eth0 ", b"x" * 40]))
    assert names.to_list() == ["eth0", "eth1", "eth0", "eth0", "", "eth0", "x" * 40]
    assert sorted(names.values) == ["", "eth0", "eth1", "x" * 40]
