# SPDX-License-Identifier: Apache-2.0
"""pydantic's errors → problems that say what to write instead: path as the user writes it, line, nearest field."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from flowgauge.config.model import FlowCollector, Spec
from flowgauge.config.yaml_text import under
from flowgauge.errors import Problem

_SHOWN = 60
"""Characters of a wrong value that are repeated."""


def problems(error: ValidationError, lines: Mapping[str, int]) -> list[Problem]:
    """All problems of a document, in the order of its lines."""
    found = [_problem(one, lines) for one in error.errors(include_url=False)]
    return sorted(found, key=lambda problem: problem.line)


def path_of(location: Sequence[str | int]) -> str:
    """``("spec", "exporter", "interfaces", 0)`` → ``spec.exporter.interfaces[0]``."""
    path = ""
    for key in location:
        path = under(path, key)
    return path


def line_of(path: str, lines: Mapping[str, int]) -> int:
    """The line of ``path``, or of the nearest section that holds it."""
    while path and path not in lines:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines.get(path, 0)


def field_names(model: type[BaseModel]) -> dict[str, str]:
    """Name as users write it → attribute."""
    return {info.alias or name: name for name, info in model.model_fields.items()}


def section_at(location: Sequence[str | int]) -> type[BaseModel] | None:
    """The model whose fields stand below ``location``; None where there is none."""
    model: type[BaseModel] | None = FlowCollector
    for key in location:
        if isinstance(key, int):
            continue
        if model is None or (attribute := field_names(model).get(key)) is None:
            return None
        model = _model_in(model.model_fields[attribute].annotation)
    return model


def nearest(word: str, names: Sequence[str]) -> str:
    """The name that was probably meant, or empty. Case and underscores count for nothing."""
    plain = {name.lower(): name for name in names}
    match = difflib.get_close_matches(word.replace("_", "").replace("-", "").lower(), list(plain), n=1, cutoff=0.6)
    return plain[match[0]] if match else ""


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation) if get_origin(annotation) else ():
        if (model := _model_in(part)) is not None:
            return model
    return None


def _problem(error: Any, lines: Mapping[str, int]) -> Problem:
    location = error["loc"]
    path = path_of(location)
    if error["type"] == "extra_forbidden":
        return Problem(path, _no_such_field(location), line_of(path, lines))
    explain = _WORDS.get(error["type"])
    message = explain(error) if explain else error["msg"].removeprefix("Value error, ")
    return Problem(path, message, line_of(path, lines))


def _no_such_field(location: Sequence[str | int]) -> str:
    word = str(location[-1])
    if len(location) == 1 and word in field_names(Spec):
        return "belongs one level deeper, under spec:"
    section = section_at(location[:-1])
    names = list(field_names(section)) if section else []
    if guess := nearest(word, names):
        return f"there is no such field; did you mean {guess}?"
    return f"there is no such field; there are {', '.join(names)}" if names else "there is no such field"


def _shown(error: Any) -> str:
    text = repr(error["input"])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _choice(error: Any) -> str:
    expected: str = error["ctx"]["expected"]
    names = [name.strip().strip("'") for name in expected.replace(" or ", ", ").split(",")]
    guess = nearest(str(error["input"]), names)
    meant = f" (did you mean {guess}?)" if guess else ""
    if "netobserv" in str(error["input"]):
        meant = " (this is a document of NetObserv, whose fields have other names)"
    listed = f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
    return f"must be {listed}, not {_shown(error)}{meant}"


def _list(error: Any) -> str:
    value = error["input"]
    return f"must be a list: write [{value}]" if isinstance(value, str | int) else f"must be a list, not {_shown(error)}"


def _expected(words: str) -> Callable[[Any], str]:
    return lambda error: f"must be {words}, not {_shown(error)}"


def _bound(word: str, key: str) -> Callable[[Any], str]:
    return lambda error: f"must be {word} {error['ctx'][key]}, not {_shown(error)}"


_WORDS: dict[str, Callable[[Any], str]] = {
    "missing": lambda _: "is missing",
    "literal_error": _choice,
    "enum": _choice,
    "list_type": _list,
    "int_type": _expected("a whole number"),
    "int_parsing": _expected("a whole number"),
    "int_from_float": _expected("a whole number"),
    "bool_type": _expected("true or false"),
    "bool_parsing": _expected("true or false"),
    "string_type": _expected("a text (write it in quotes)"),
    "string_pattern_mismatch": _expected("a duration such as 500ms, 5s, 15m, 12h or 7d"),
    "model_type": _expected("a section (fields below it, each on its own line)"),
    "model_attributes_type": _expected("a section (fields below it, each on its own line)"),
    "dict_type": _expected("a section (fields below it, each on its own line)"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than_equal": _bound("at most", "le"),
}
