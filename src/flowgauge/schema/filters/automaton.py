# SPDX-License-Identifier: Apache-2.0
"""Matching a pattern without backtracking: one step a character, whatever the pattern, so that none can hang the live tap.

The pattern becomes a small program (Thompson's construction); the sets of places that it can be in are states, made and
remembered when first needed, as RE2 does. Python's own ``re`` backtracks: a few characters can keep it busy for years.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from flowgauge.schema.filters.pattern import Boundary, Choice, Item, OneChar, Ranges, Repeat, Sequence, parse_pattern

MAX_REMEMBERED = 100_000
"""Places of all states, and moves between them, that are remembered; beyond it all are forgotten and made again as needed.
About 10 MB."""

MAX_KEPT = 16
"""Patterns whose automata are kept: as many as people watch at once."""

_EDGE, _WORD, _OTHER = "edge", "word", "other"
"""What is on one side of a place: an end of the text, a character of a word, or another one."""


@dataclass(slots=True)
class _Step:
    """One instruction: a character to take (``ranges``), a condition (``boundary``), or only where to go on (``to``)."""

    ranges: Ranges = ()
    boundary: str = ""
    to: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class _State:
    """A set of places in the program and what precedes it in the text; ``moves`` leads on, to None when all is matched."""

    places: frozenset[int]
    before: str
    moves: dict[str, _State | None] = field(default_factory=dict)
    at_end: bool | None = None


class Automaton:
    """Finds a pattern anywhere in lower-case texts; may be used from several threads."""

    def __init__(self, item: Item) -> None:
        self._program: list[_Step] = []
        self._emit(item)
        self._states: dict[tuple[frozenset[int], str], _State] = {}
        self._remembered = 0
        self._start = self._state(frozenset({0}), _EDGE)

    def search(self, text: str) -> bool:
        """Whether the pattern matches somewhere in ``text``."""
        state = self._start
        for char in text:
            following = state.moves[char] if char in state.moves else self._step(state, char)
            if following is None:
                return True
            state = following
        if state.at_end is None:
            state.at_end = self._reached(state, _EDGE) is None
        return state.at_end

    def _step(self, state: _State, char: str) -> _State | None:
        kind = _WORD if char.isascii() and (char.isalnum() or char == "_") else _OTHER
        places = self._reached(state, kind)
        following = None
        if places is not None:
            point = ord(char)
            taken = (place + 1 for place in places if any(low <= point <= high for low, high in self._program[place].ranges))
            following = self._state(frozenset((*taken, 0)), kind)
        state.moves[char] = following
        self._remember(1)
        return following

    def _reached(self, state: _State, after: str) -> set[int] | None:
        """Every place reachable without taking a character, or None when the end of the program is among them."""
        reached: set[int] = set()
        waiting = list(state.places)
        while waiting:
            place = waiting.pop()
            if place in reached:
                continue
            if place == len(self._program):
                return None
            reached.add(place)
            step = self._program[place]
            if step.boundary:
                waiting += [place + 1] if _holds(step.boundary, state.before, after) else []
            elif not step.ranges:
                waiting += step.to
        return reached

    def _state(self, places: frozenset[int], before: str) -> _State:
        known = self._states.get((places, before))
        if known is None:
            known = self._states[places, before] = _State(places, before)
            self._remember(len(places))
        return known

    def _remember(self, count: int) -> None:
        """Counts what is kept. A search that goes on keeps its own state until it ends."""
        self._remembered += count
        if self._remembered > MAX_REMEMBERED:
            self._states, self._remembered = {}, 0
            self._start = _State(frozenset({0}), _EDGE)

    def _emit(self, item: Item) -> None:
        match item:
            case OneChar(ranges):
                self._program.append(_Step(ranges=ranges))
            case Boundary(kind):
                self._program.append(_Step(boundary=kind))
            case Sequence(items):
                for one in items:
                    self._emit(one)
            case Choice(items):
                self._emit_choice(items)
            case Repeat(inner, low, high):
                self._emit_repeat(inner, low, high)

    def _emit_choice(self, items: tuple[Item, ...]) -> None:
        leaving = []
        for one in items:
            fork = len(self._program)
            self._program.append(_Step())
            self._emit(one)
            leaving.append(_Step())
            self._program.append(leaving[-1])
            self._program[fork].to = (fork + 1, len(self._program))
        self._program.append(_Step(boundary="never"))  # where the last fork leads when no item is left
        for step in leaving:
            step.to = (len(self._program),)

    def _emit_repeat(self, item: Item, low: int, high: int | None) -> None:
        for _ in range(low):
            self._emit(item)
        if high is None:
            fork = len(self._program)
            self._program.append(_Step())
            self._emit(item)
            self._program.append(_Step(to=(fork,)))
            self._program[fork].to = (fork + 1, len(self._program))
            return
        forks = []
        for _ in range(high - low):
            forks.append(len(self._program))
            self._program.append(_Step())
            self._emit(item)
        for fork in forks:
            self._program[fork].to = (fork + 1, len(self._program))


def _holds(boundary: str, before: str, after: str) -> bool:
    match boundary:
        case "^":
            return before == _EDGE
        case "$":
            return after == _EDGE
        case "b" | "B":
            return ((before == _WORD) != (after == _WORD)) == (boundary == "b")
        case _:
            return False


@lru_cache(maxsize=MAX_KEPT)
def automaton(pattern: str) -> Automaton:
    """The automaton of a pattern; the last few are kept with what they learned. PatternProblem when it is not taken."""
    return Automaton(parse_pattern(pattern))
