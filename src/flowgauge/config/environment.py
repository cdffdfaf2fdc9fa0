# SPDX-License-Identifier: Apache-2.0
"""Settings from the environment: ``FLOWGAUGE_`` and the path below ``spec`` in capitals, two underscores between levels.

``FLOWGAUGE_EXPORTER__EXPORT_INTERVAL=1s``, ``FLOWGAUGE_LOG_LEVEL=debug``, ``FLOWGAUGE_LOG_LEVELS__AGENT=trace``. Values are
YAML: ``FLOWGAUGE_EXPORTER__INTERFACES='[eth0]'``. A variable with two levels that sets nothing is a mistake and is reported;
one with a single level may be somebody else's (FLOWGAUGE_CONSOLE_TOKEN) and is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, get_origin

from pydantic import BaseModel

from flowgauge.config import explain, yaml_text
from flowgauge.config.model import Spec
from flowgauge.errors import ConfigError, Problem

PREFIX = "FLOWGAUGE_"
_LEVELS = "__"


class Override(NamedTuple):
    """A value for the setting at ``path``, from the environment ``variable``."""

    path: str
    value: Any
    variable: str


@cache
def variables() -> dict[str, str]:
    """Variable → path of every setting."""
    return dict(_variables(Spec, "spec", PREFIX))


def overrides(environ: Mapping[str, str], found: list[Problem]) -> Iterator[Override]:
    """What the environment sets; variables that set nothing, or hold no YAML, go to ``found``."""
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        if path := _path(name):
            yield from _override(name, path, environ[name], found)
        elif _LEVELS in name:
            guess = explain.nearest(name, list(variables()))
            found.append(Problem(name, f"sets nothing; did you mean {guess}?" if guess else "sets nothing"))


def as_environment(values: Mapping[str, Any]) -> dict[str, str]:
    """Path → value, as variables: how a supervisor hands its own flags on to the programs it starts."""
    names = {path: variable for variable, path in variables().items()}
    result: dict[str, str] = {}
    for path, value in values.items():
        table, _, key = path.rpartition(".")
        result[names.get(path) or f"{names[table]}{_LEVELS}{key.upper()}"] = json.dumps(value)
    return result


def _variables(section: type[BaseModel], path: str, name: str) -> Iterator[tuple[str, str]]:
    for alias, attribute in explain.field_names(section).items():
        annotation, place = section.model_fields[attribute].annotation, f"{path}.{alias}"
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _variables(annotation, place, f"{name}{attribute.upper()}{_LEVELS}")
        else:
            yield f"{name}{attribute.upper()}", place


def _path(name: str) -> str:
    """The path that ``name`` sets, an entry of a table (``logLevels.agent``) included; empty: none."""
    if name in variables():
        return variables()[name]
    table, _, key = name.rpartition(_LEVELS)
    path = variables().get(table, "")
    attribute = table.removeprefix(PREFIX).lower()
    is_table = attribute in Spec.model_fields and get_origin(Spec.model_fields[attribute].annotation) is dict
    return f"{path}.{key.lower()}" if path and is_table else ""


def _override(name: str, path: str, text: str, found: list[Problem]) -> Iterator[Override]:
    try:
        documents = yaml_text.parse(text, name)
    except ConfigError as error:
        found += [Problem(name, problem.message) for problem in error.problems]
        return
    yield Override(path, documents[0].value if documents else "", name)
