# SPDX-License-Identifier: Apache-2.0
"""YAML text → plain values, with the line of every path. Hostile text is refused, never expanded.

Scalars follow YAML 1.2's core schema (§10.3.2), so that ``Off``, ``no`` and ``1:30`` stay the words the user wrote. Refused:
a key given twice, aliases that unfold beyond a bound ("billion laughs"), tags of other types, keys that are not text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from flowgauge.errors import ConfigError, Problem

MAX_CHARACTERS = 256 << 10
"""Longest document, in characters: a real one has 2,000; parsing this many takes seconds."""
TOO_LONG = Problem("", f"is longer than {MAX_CHARACTERS} characters")

MAX_NODES = 50_000
"""Values of one document with every alias unfolded; a real one has below two hundred."""

MAX_DEPTH = 40
"""Deepest nesting; ours is below ten."""

_MAX_OPEN_BRACKETS = 200
"""PyYAML's scanner takes a time that grows with the square of open brackets; those in texts and comments rarely go unclosed."""

_BRACKETS = re.compile(r"[\[\]{}]")

_SCALARS: tuple[tuple[re.Pattern[str], Any], ...] = (
    (re.compile(r"(?:~|null|Null|NULL)?"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]{1,30}"), int),
    (re.compile(r"0x[0-9a-fA-F]{1,30}"), lambda text: int(text, 16)),
    (re.compile(r"0o[0-7]{1,30}"), lambda text: int(text, 8)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?"), float),
)


@dataclass(slots=True)
class YamlDocument:
    """One document: its plain ``value``, and the 1-based line of each path (``spec.exporter.interfaces[0]``)."""

    value: Any = None
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def parse(text: str, source: str) -> list[YamlDocument]:
    """The documents of a YAML (or JSON) text.

    Raises:
        ConfigError: the text is no YAML, too long, or nested too deeply.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(source, [TOO_LONG])
    if _open_brackets(text) > _MAX_OPEN_BRACKETS:
        raise _too_deep(source)
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.BaseLoader) if node is not None]
    except yaml.MarkedYAMLError as error:
        raise ConfigError(source, [_syntax_problem(error)]) from error
    except yaml.YAMLError as error:
        raise ConfigError(source, [Problem("", f"is not YAML: {str(error).splitlines()[0]}")]) from error
    except RecursionError:
        raise _too_deep(source) from None
    return [_Reader().document(node) for node in nodes]


def scalar(text: str) -> Any:
    """The value of one plain scalar: ``100`` → 100, ``true`` → True, ``7d`` → "7d"."""
    return next((convert(text) for pattern, convert in _SCALARS if pattern.fullmatch(text)), text)


def under(path: str, key: str | int) -> str:
    """The path of a field or list item below ``path``."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def _open_brackets(text: str) -> int:
    """The most brackets that are open at once, wherever they stand."""
    depth = deepest = 0
    for match in _BRACKETS.finditer(text):
        depth += 1 if match[0] in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _too_deep(source: str) -> ConfigError:
    return ConfigError(source, [Problem("", f"is nested deeper than {MAX_DEPTH} levels")])


class _Reader:
    """Turns the nodes of one document into values, within the bounds."""

    def __init__(self) -> None:
        self._result = YamlDocument()
        self._nodes = 0

    def document(self, root: yaml.Node) -> YamlDocument:
        try:
            self._result.value = self._value(root, "", 0)
        except _TooMuchError as error:
            self._result.problems = [Problem("", str(error))]
        return self._result

    def _value(self, node: yaml.Node, path: str, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _TooMuchError(f"unfolds to more than {MAX_NODES} values; use fewer aliases (*name)")
        if depth > MAX_DEPTH:
            raise _TooMuchError(f"is nested deeper than {MAX_DEPTH} levels")
        line = node.start_mark.line + 1
        self._result.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, under(path, at), depth + 1) for at, item in enumerate(node.value)]
        if node.tag != "tag:yaml.org,2002:str":
            self._problem(path, f"has the tag {node.tag}; write plain values", line)
        text = _whole(node.value)
        return scalar(text) if getattr(node, "style", "") is None else text

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(path, "has a key that is not a name", line)
                continue
            key = _whole(key_node.value)
            place = under(path, key)
            if key in result:
                self._problem(place, f"is given twice, first on line {self._result.lines[place]}", line)
                continue
            self._result.lines[place] = line
            result[key] = self._value(value_node, place, depth + 1)
        return result

    def _problem(self, path: str, message: str, line: int) -> None:
        self._result.problems.append(Problem(path, message, line))


def _whole(text: str) -> str:
    """JSON spells a character beyond U+FFFF as two escapes (RFC 8259 §7), which YAML reads as two halves: joins them."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class _TooMuchError(Exception):
    """The document unfolds beyond a bound."""


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    words = " ".join(part for part in (error.context, error.problem) if part)
    where = f" (column {mark.column + 1})" if mark else ""
    return Problem("", f"is not YAML: {words}{where}", mark.line + 1 if mark else 0)
