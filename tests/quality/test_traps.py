# SPDX-License-Identifier: Apache-2.0
"""Every trap of ``tests/TRAPS.md`` is tested by its number where it says, or says why not; golden cases name real ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TRAPS = 95
ROWS = {
    int(number): cell
    for number, _, cell in re.findall(r"^\| (\d+) \| (.+?) \| (.+) \|$", (TESTS / "TRAPS.md").read_text(), re.MULTILINE)
}
REFERENCE = re.compile(r"`((?:golden|unit|property|netns)/[^`]+)`")
NAMED = re.compile(r"[Tt]raps? (\d+(?:(?:, | and | to )\d+)*)")


def named_by(text: str) -> set[int]:
    """The numbers that a README names: ``trap 3``, ``Traps 4, 5``, ``traps 67 to 71``."""
    found = set[int]()
    for match in NAMED.findall(text):
        found |= {int(number) for number in re.findall(r"\d+", match)}
        for first, last in re.findall(r"(\d+) to (\d+)", match):
            found |= set(range(int(first), int(last) + 1))
    return found


def test_every_trap_has_a_row_with_a_test_or_a_reason() -> None:
    assert set(ROWS) == set(range(1, TRAPS + 1))
    assert [number for number, cell in ROWS.items() if not REFERENCE.search(cell) and not cell.startswith("No test: ")] == []


@pytest.mark.parametrize("number", sorted(ROWS))
def test_what_a_row_names_exists_and_one_at_least_names_the_trap(number: int) -> None:
    named = set[int]()
    for reference in REFERENCE.findall(ROWS[number]):
        path, _, function = reference.partition("::")
        if function:
            source = re.search(rf"^def {function}\(.*?(?=^[^\s)]|\Z)", (TESTS / path).read_text(), re.MULTILINE | re.DOTALL)
            assert source, reference
            named |= named_by(source.group().replace("_", " "))
        else:
            assert (TESTS / path / "README.md").is_file(), reference
            of_case = named_by((TESTS / path / "README.md").read_text())
            assert number in of_case, reference
            named |= of_case
    assert number in named or ROWS[number].startswith("No test: ")


def test_golden_cases_name_traps_that_there_are() -> None:
    readmes = [*TESTS.glob("golden/wire/*/README.md"), *TESTS.glob("golden/decode/*/README.md")]
    named = {str(readme): named_by(readme.read_text()) for readme in readmes}
    assert len(set.union(*named.values())) > 60
    assert [name for name, numbers in named.items() if not numbers <= set(ROWS)] == []
