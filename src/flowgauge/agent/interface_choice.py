# SPDX-License-Identifier: Apache-2.0
"""Which devices are observed: exact names and ``/regex/`` of ``spec.exporter.interfaces`` and ``excludeInterfaces``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from flowgauge.errors import UsageError

SAME_NODE_NOTE = "traffic between pods of one node is not seen this way"
_SHOWN_NAMES = 8


class InterfaceChoice:
    """Include and exclude patterns, exclusion first.

    A pattern between slashes is a regular expression that may match anywhere in the name, any other is an exact name.

    Args:
        include: empty means all devices.
        exclude: never observed.

    Raises:
        UsageError: a regular expression is wrong.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self.include = {text: _pattern(text) for text in include}
        self.exclude = [_pattern(text) for text in exclude]

    def wants(self, name: str) -> bool:
        """Whether a device of this name is observed."""
        if any(pattern.search(name) for pattern in self.exclude):
            return False
        return not self.include or any(pattern.search(name) for pattern in self.include.values())

    def unmatched(self, names: Iterable[str]) -> list[str]:
        """The include patterns that match none of ``names``."""
        present = list(names)
        return [text for text, pattern in self.include.items() if not any(map(pattern.search, present))]

    @property
    def only_named(self) -> bool:
        """Whether only devices named exactly are observed: pods' own devices, whose names change, are then left out."""
        return bool(self.include) and not any(_is_regex(text) for text in self.include)


def matches_nothing(pattern: str, node: str, names: Sequence[str]) -> str:
    """The sentence for an include pattern that matches no device: ``eth0 matches nothing on node-x (it has ens3)``."""
    shown = ", ".join(sorted(names)[:_SHOWN_NAMES])
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return f"{pattern} matches nothing on {node} (it has {shown + more or 'no devices'})"


def _is_regex(text: str) -> bool:
    return len(text) > 2 and text.startswith("/") and text.endswith("/")


def _pattern(text: str) -> re.Pattern[str]:
    if not _is_regex(text):
        return re.compile(rf"\A{re.escape(text)}\Z")
    try:
        return re.compile(text[1:-1])
    except re.error as error:
        raise UsageError(f"interface pattern {text} is not a regular expression: {error}") from error
