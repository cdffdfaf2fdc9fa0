# SPDX-License-Identifier: Apache-2.0
"""What a document will do, line by line: for ``flowgauge config check``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from flowgauge.config.effective import value_at
from flowgauge.config.load import Loaded
from flowgauge.config.model import Spec
from flowgauge.config.sentences import DOES, NOT_YET, PARTS, listed

_SAID_ANYWAY = (
    "spec.exporter.sampling",
    "spec.exporter.interfaces",
    "spec.exporter.namespaces.include",
    "spec.storage.type",
    "spec.storage.retention",
)
"""What people ask first: said also when the document leaves it to the default."""


class Kind(StrEnum):
    """What a finding is: the document's effect, what this build cannot do of it, or what is probably not meant."""

    DOES = "does"
    NOT_YET = "not yet"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about the ``value`` at ``path``; ``line`` is 0 for a default."""

    path: str
    value: Any
    line: int
    kind: Kind
    text: str


def check(loaded: Loaded, on_host: dict[str, list[str]] | None = None) -> list[Finding]:
    """Everything to say about a document, in the order of its lines, defaults last.

    Args:
        loaded: the document.
        on_host: path → warnings that come from looking at this machine.
    """
    return sorted(_findings(loaded, on_host or {}), key=lambda finding: finding.line or 1_000_000)


def _findings(loaded: Loaded, on_host: dict[str, list[str]]) -> Iterator[Finding]:
    spec = loaded.document.spec
    for path, sentence in DOES.items():
        value, line = value_at(spec, path), loaded.lines.get(path, 0)
        missing = NOT_YET[path](spec) if path in NOT_YET else ""
        warnings = [*_warnings(path, spec), *on_host.get(path, ())]
        if line or missing or warnings or path in _SAID_ANYWAY:
            yield Finding(path, value, line, Kind.DOES, sentence(spec))
        if missing:
            yield Finding(path, value, line, Kind.NOT_YET, missing)
        for text in warnings:
            yield Finding(path, value, line, Kind.WARNING, text)


def _warnings(path: str, spec: Spec) -> Iterator[str]:
    """What is allowed and probably not meant."""
    if path == "spec.logLevels":
        unknown = [part for part in spec.log_levels if part not in PARTS]
        if unknown:
            yield f"there is no part {listed(unknown)}; there are {listed(PARTS)}"
    if path == "spec.collector.port" and spec.console_plugin.enable and spec.collector.port == 0:
        yield "port 0 is another one at each start: exporters elsewhere cannot know it"
    if path == "spec.exporter.interfaces":
        hidden = set(spec.exporter.interfaces) & set(spec.exporter.exclude_interfaces)
        if hidden:
            yield f"{listed(sorted(hidden))} is also in excludeInterfaces, which wins: it is not observed"
    if path == "spec.exporter.enable" and not spec.exporter.enable and spec.exporter.sampling > 1:
        yield "without agents, sampling has no effect"
