# SPDX-License-Identifier: Apache-2.0
"""Patterns: what is taken, and that none can keep a matcher busy."""

from __future__ import annotations

import pytest

from flowgauge.schema.filters.automaton import MAX_REMEMBERED, Automaton, automaton
from flowgauge.schema.filters.pattern import MAX_SIZE, PatternProblem, parse_pattern, pattern_text


def matches(pattern: str, text: str) -> bool:
    return automaton(pattern).search(text.lower())


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("web", "my-web-1", True),
        ("WEB", "my-web-1", True),
        ("^web", "my-web-1", False),
        ("web$", "web", True),
        ("^$", "", True),
        ("", "anything", True),
        ("^(a|bc)+$", "abca", True),
        ("^(a|bc)+$", "abb", False),
        ("^a{2,3}$", "aaa", True),
        ("^a{2,3}$", "aaaa", False),
        ("^a{2}$", "aa", True),
        ("a{2,}", "baa", True),
        ("x{", "x{", True),
        ("^.$", "é", True),
        ("^.$", "\n", True),
        (r"\bdb\b", "my-db-1", True),
        (r"\bdb\b", "mydb1", False),
        (r"\Bb", "ab", True),
        ("[a-c]z", "bz", True),
        ("[^a-c]z", "bz", False),
        ("[A-C]z", "bz", True),
        ("[^A-C]z", "BZ", False),
        ("[]a]", "]", True),
        ("[a-]", "-", True),
        (r"[\d.]+$", "v1.2", True),
        (r"^[\w-z]$", "-", True),
        (r"^\W$", "é", True),
        ("Ä", "ä", True),
        ("[ÄB]", "ä", True),
        ("İ", "İ", True),
        (r"a\.b", "axb", False),
        ("(?:ab)*?c", "ababc", True),
        ("a||b", "zzz", True),
    ],
)
def test_patterns_mean_what_they_mean_everywhere(pattern: str, text: str, *, expected: bool) -> None:
    assert matches(pattern, text) is expected


@pytest.mark.parametrize(
    ("pattern", "at"),
    [
        (r"(a)\1", 3), ("(?=a)", 0), ("(?!a)", 0), ("(?<=a)", 0), ("(?P<n>a)", 0), ("(?i)a", 0), ("a**", 2), ("a+{2}", 2),
        ("*", 0),
        ("a|*", 2), ("(a", 0), ("a)", 1), ("[a", 0), ("[b-a]", 1), ("[[:alpha:]]", 1), (r"\z", 0), (r"\pL", 0), ("a\\", 1),
        ("[а-я]", 1), (r"[\b]", 1), ("a{3,2}", 1), ("a{1001}", 1), ("[^\\d\\D]", 0),
    ],
)  # fmt: skip
def test_what_engines_read_differently_is_refused(pattern: str, at: int) -> None:
    with pytest.raises(PatternProblem) as problem:
        parse_pattern(pattern)
    assert problem.value.at == at


def test_size_and_depth_have_a_limit() -> None:
    parse_pattern(f"a{{{MAX_SIZE}}}")
    for pattern in ("(a{100}){100}", "((((a{9}){9}){9}){9})", "(" * 60 + "a" + ")" * 60):
        with pytest.raises(PatternProblem):
            parse_pattern(pattern)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(.*)*(.*)*x$", ".*.*.*.*.*.*.*x", "(a?){200}a{160}$"])
def test_patterns_that_hang_a_backtracking_engine_do_not_hang_this_one(pattern: str) -> None:
    """Python's own engine would need years for these."""
    assert not matches(pattern, "a" * 150 + "!")


def remembered(machine: Automaton) -> int:
    """Places and moves of the states that the automaton holds."""
    states = {id(state): state for state in (machine._start, *machine._states.values())}
    return sum(len(state.places) + len(state.moves) for state in states.values())


def test_memory_stays_bounded_whatever_is_matched() -> None:
    many_states = Automaton(parse_pattern("(a|b)*a(a|b){12}$"))
    for number in range(3000):
        many_states.search(f"{number:012b}".replace("0", "a").replace("1", "b") * 3)
    assert remembered(many_states) <= MAX_REMEMBERED + 20
    many_letters = Automaton(parse_pattern("[^x]y"))
    for point in range(0x10000, 0x10000 + 2 * MAX_REMEMBERED, 50):
        many_letters.search("".join(map(chr, range(point, point + 50))))
    assert remembered(many_letters) <= MAX_REMEMBERED + 20


@pytest.mark.parametrize("pattern", ["a.b", "[^x]", r"\w+-\d{2,}", "ä|b", "(?:a|b)*", "^-$", r"\b", "x{", "["[:0]])
def test_the_text_for_stores_reads_back_as_the_same_pattern(pattern: str) -> None:
    """Engines get characters by number, which our own parser need not read: compare by what they print again."""
    import re

    text = pattern_text(parse_pattern(pattern))
    assert re.compile(text.replace("\\x{e4}", "\\xe4").replace("\\x{10ffff}", "\\U0010ffff"))
