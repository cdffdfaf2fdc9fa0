# SPDX-License-Identifier: Apache-2.0
"""Laws of the filter language over random texts."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from filter_kit import PATTERNS, filters
from flowgauge.errors import FilterError
from flowgauge.schema.filters import Completion, ValueShare, bound, canonical, complete, parse, quoted
from flowgauge.schema.filters.automaton import Automaton
from flowgauge.schema.filters.fields import FIELDS, Field
from flowgauge.schema.filters.pattern import PatternProblem, parse_pattern, pattern_text
from flowgauge.schema.filters.syntax import conjuncts, joined

FILTERS = filters(1_800_000_000_000)
PIECES = st.sampled_from((
    *("and", "or", "not", "in", "exists", "(", ")", ",", "=", "!=", "<", "~", "!~", "!", '"', "'", "\\", "[", "{2}", "*"),
    *("port", "src.addr", "namespace", "bytes", "flow_direction", "10.0.0.0/8", "5ms", "web", "\x00", "é", "\ud7ff", " ", "\n"),
))  # fmt: skip
GARBAGE = st.one_of(
    st.lists(PIECES, max_size=12).map(" ".join), st.lists(PIECES, max_size=12).map("".join), st.text(max_size=40)
)


@settings(max_examples=100)
@given(text=FILTERS)
def test_the_canonical_form_means_the_same_and_is_its_own(text: str) -> None:
    printed = canonical(parse(text))
    assert bound(printed) == bound(text)
    assert canonical(parse(printed)) == printed


@settings(max_examples=100)
@given(text=FILTERS)
def test_the_parts_of_a_filter_make_it_up(text: str) -> None:
    node = parse(text)
    assert joined(conjuncts(node)) == node
    again = " and ".join(f"({canonical(part)})" for part in conjuncts(node))
    assert bound(again) == bound(text)


@settings(max_examples=300)
@given(text=GARBAGE)
def test_any_text_is_a_filter_or_an_error_at_one_of_its_characters(text: str) -> None:
    error = error_of(text)
    assert error is None or (0 <= error.at <= len(text) and error.length >= 1 and error.message)


def error_of(text: str) -> FilterError | None:
    """What is wrong with a filter."""
    try:
        bound(text)
    except FilterError as error:
        return error
    return None


@given(value=st.text(min_size=1, max_size=30))
def test_a_quoted_value_reads_back_as_itself(value: str) -> None:
    (part,) = conjuncts(parse(f"src_name = {quoted(value)}"))
    assert [token.text for token in part.values] == [value]  # type: ignore[union-attr]


def some_values(_: Field) -> list[ValueShare]:
    return [ValueShare("flow-demo", 0.62), ValueShare('a "b"', 0.1), ValueShare("and", 0.05), ValueShare("5432", None)]


@settings(max_examples=200)
@given(text=GARBAGE, cut=st.integers(0, 60))
def test_completion_offers_replace_characters_that_are_there(text: str, cut: int) -> None:
    for offer in complete(text, min(cut, len(text)), some_values):
        assert 0 <= offer.at <= offer.at + offer.length <= len(text)
        assert offer.label


@settings(max_examples=50)
@given(choices=st.lists(st.integers(0, 5), min_size=1, max_size=24))
def test_a_filter_made_of_offers_alone_is_a_filter(choices: list[int]) -> None:
    """Names only: the offered values suit names, and would not suit numbers."""
    text = ""
    for choice in choices:
        offers = [offer for offer in complete(text, len(text), some_values) if _suits(offer)]
        offer = offers[choice % len(offers)]
        text = text[: offer.at] + offer.insert + text[offer.at + offer.length :]
    error = error_of(text)
    assert error is None or error.at >= len(text.rstrip()), f"{text!r}: {error}"


def _suits(offer: Completion) -> bool:
    if offer.kind == "field":
        field = FIELDS[offer.label]
        return all(column.kind == "names" for column in field.columns)
    return True


@settings(max_examples=300)
@given(pattern=PATTERNS, text=st.text(alphabet="abeWx0.-_ äÄ\\]{", min_size=1, max_size=12))
def test_patterns_match_as_the_interpreters_own_engine_does(pattern: str, text: str) -> None:
    """Not on the empty text, where Python before 3.14 has its own idea of what is no word edge."""
    item = parse_pattern(pattern)
    theirs = re.compile(re.sub(r"\\x\{([0-9a-f]+)\}", lambda m: f"\\U{int(m[1], 16):08x}", pattern_text(item)), re.ASCII)
    assert Automaton(item).search(text.lower()) == bool(theirs.search(text.lower()))


@settings(max_examples=200)
@given(pattern=st.one_of(PATTERNS, st.text(alphabet="ab()[]{}*+?|\\^$.,-:=!<>P0129", max_size=12)))
def test_any_pattern_is_taken_or_refused_at_one_of_its_characters(pattern: str) -> None:
    try:
        Automaton(parse_pattern(pattern)).search("ab" * 50)
    except PatternProblem as problem:
        at = problem.at
    else:
        at = 0
    assert 0 <= at <= len(pattern)
