# SPDX-License-Identifier: Apache-2.0
"""Notes: the latest text that is whole is what is read, whatever a writer left half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowgauge.collector.notes import Notes


def written(path: Path, *texts: bytes) -> bytes:
    notes = Notes(path)
    for text in texts:
        notes.put(text)
    notes.close()
    return Notes(path).latest()


def test_the_latest_text_is_read_also_when_it_is_shorter(tmp_path: Path) -> None:
    assert written(tmp_path / "one", b"first") == b"first"
    assert written(tmp_path / "two", b"first and long", b"second, longer still", b"third") == b"third"
    assert written(tmp_path / "many", *(str(number).encode() for number in range(101))) == b"100"


@pytest.mark.parametrize("kept", range(16 + 7))
def test_a_text_that_was_written_in_part_leaves_the_one_before(tmp_path: Path, kept: int) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    written(before, b"first", b"second")
    written(after, b"first", b"second", b"third!")
    old, new = before.read_bytes(), after.read_bytes()
    at = next(place for place in range(len(new)) if new[place : place + 1] != old[place : place + 1]) // (1 << 16) * (1 << 16)
    torn = tmp_path / "torn"
    torn.write_bytes(old[:at] + new[at : at + kept] + old[at + kept :])
    assert Notes(torn).latest() == (b"third!" if kept == 16 + 6 else b"second")


def test_nothing_written_and_nothing_whole_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Notes(tmp_path / "none").latest()
    (tmp_path / "broken").write_bytes(b"x" * 200_000)
    with pytest.raises(ValueError, match="no text that is whole"):
        Notes(tmp_path / "broken").latest()


def test_a_text_that_would_lie_in_the_other_place_is_refused(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "notes")
    notes.put(b"before")
    with pytest.raises(ValueError, match="more than its place has"):
        notes.put(bytes(1 << 16))
    assert notes.latest() == b"before"
