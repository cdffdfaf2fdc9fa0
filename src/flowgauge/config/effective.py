# SPDX-License-Identifier: Apache-2.0
"""What holds in the end: command-line flag > environment > document > default, and where each value came from."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from flowgauge.config import environment, explain
from flowgauge.config.load import Loaded, load
from flowgauge.config.model import FlowCollector, Spec
from flowgauge.errors import ConfigError, Problem

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Flag:
    """A command-line flag that was given: its ``name`` (``--sampling``), the ``path`` it sets, the ``value``."""

    name: str
    path: str
    value: Any


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective value and its origin: ``--sampling``, ``FLOWGAUGE_…``, ``FILE line 5`` or ``default``."""

    path: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Effective:
    """The settings that hold.

    Attributes:
        spec: document, environment and flags in one.
        loaded: the document as read.
        origins: path → flag or variable that set it.
    """

    spec: Spec
    loaded: Loaded
    origins: Mapping[str, str]

    def settings(self) -> Iterator[Setting]:
        """Every value below ``spec``, in the document's order."""
        yield from self._below(self.spec, "spec")

    def origin(self, path: str) -> str:
        """Where the value at ``path`` came from."""
        for place, origin in self.origins.items():
            if place == path or place.startswith(f"{path}."):
                return origin
        line = self.loaded.lines.get(path)
        return f"{self.loaded.source} line {line}" if line else DEFAULT

    def _below(self, section: BaseModel, path: str) -> Iterator[Setting]:
        for alias, attribute in explain.field_names(type(section)).items():
            value, place = getattr(section, attribute), f"{path}.{alias}"
            if isinstance(value, BaseModel):
                yield from self._below(value, place)
            else:
                yield Setting(place, plain(value), self.origin(place))


def effective(path: Path | None = None, flags: tuple[Flag, ...] = (), environ: Mapping[str, str] = os.environ) -> Effective:
    """The settings of the document at ``path`` (None: the defaults) under environment and flags.

    Raises:
        UsageError: the file cannot be read.
        ConfigError: document, environment or flags have problems; each names its place.
    """
    loaded = load(path) if path is not None else Loaded(FlowCollector())
    data = copy.deepcopy(dict(loaded.data))
    origins: dict[str, str] = {}
    found: list[Problem] = []
    for override in environment.overrides(environ, found):
        _put(data, override.path, override.value)
        origins[override.path] = override.variable
    for flag in flags:
        _put(data, flag.path, flag.value)
        origins[flag.path] = flag.name
    try:
        document = FlowCollector.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        found += [_with_origin(problem, origins) for problem in explain.problems(error, {})]
    if found:
        raise ConfigError("settings", found)
    return Effective(document.spec, loaded, origins)


def value_at(spec: Spec, path: str) -> Any:
    """What holds at ``path`` (``spec.collector.tls``), as ``plain`` values: of a section what was said of it."""
    value: Any = spec
    for alias in path.split(".")[1:]:
        value = getattr(value, explain.field_names(type(value))[alias])
    return plain(value)


def plain(value: Any) -> Any:
    """A value as YAML and JSON hold it; of an item of a list what was said of it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def _put(data: dict[str, Any], path: str, value: Any) -> None:
    *sections, last = path.split(".")
    for section in sections:
        data = data.setdefault(section, {})
    data[last] = value


def _with_origin(problem: Problem, origins: Mapping[str, str]) -> Problem:
    """Names the flag or variable that brought the wrong value."""
    for place, origin in origins.items():
        if problem.path == place or problem.path.startswith((f"{place}.", f"{place}[")):
            return Problem(f"{origin} ({problem.path})", problem.message)
    return problem
