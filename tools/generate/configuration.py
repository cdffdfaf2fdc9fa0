# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reference/configuration.md from the models of the FlowCollector document. ``--check`` fails when it differs."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin

from _target import REFERENCE, ROOT, finish
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flowgauge.config.descriptions import descriptions
from flowgauge.config.effective import plain
from flowgauge.config.environment import variables
from flowgauge.config.load import load
from flowgauge.config.model import Spec
from flowgauge.config.sentences import NOT_YET

ASK_FOR_MUCH = ("everything", "given", "other_exporters")
"""Golden documents that ask for what is not built, so that each limit is said by one of them."""

_HEAD = """<!-- Written by tools/generate/configuration.py from src/flowgauge/config: do not edit. -->
# Configuration

One document, the `FlowCollector`, configures every part; the same document is a file for `flowgauge run -f` and a resource in a
cluster. Its bare `spec:` is enough. `flowgauge config check FILE` says what each line will do, and lists every problem with its
line; `flowgauge config show` prints each effective value and where it came from.

**Precedence**: command-line flag, then environment variable, then document, then default. A variable is named after the path,
with two underscores between levels, and its value is YAML: `FLOWGAUGE_EXPORTER__INTERFACES='[eth0]'`.

**Durations** are a whole number and a unit: `500ms`, `5s`, `15m`, `12h`, `7d`, `2w`.

**Changes**: `flowgauge run` applies a saved document without losing flows. It says which part takes a change over while it
runs, and which it starts anew, and why.

*Not yet* is what this build does not do of a field, and what happens instead: `flowgauge config check` says the same.
"""


def text() -> str:
    """The whole page."""
    specs = [load(ROOT / "tests/golden/config" / name / "in.yaml").document.spec for name in ASK_FOR_MUCH]
    limits = {path: next(filter(None, map(sentence, specs)), "") for path, sentence in NOT_YET.items()}
    return "\n".join([_HEAD, *_section(Spec, "spec", limits)])


def _section(model: type[BaseModel], path: str, limits: dict[str, str]) -> Iterator[str]:
    meanings = descriptions(model)
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    said = {info.alias or name: meanings[name] for name, info in model.model_fields.items() if not _is_section(info.annotation)}
    yield f"## `{path}`\n"
    if model.__doc__:
        yield f"{model.__doc__.strip()}\n"
    leaves = {alias: info for alias, info in fields.items() if not _is_section(info.annotation)}
    if leaves:
        yield "| field | type | default | meaning |\n| --- | --- | --- | --- |"
        yield from (_row(path, alias, info, said[alias], limits) for alias, info in leaves.items())
        yield ""
    for item in dict.fromkeys(filter(None, (_item_model(info.annotation) for info in leaves.values()))):
        yield from _item(item)
    for alias, info in fields.items():
        if _is_section(info.annotation):
            yield from _section(info.annotation, f"{path}.{alias}", limits)


def _row(path: str, alias: str, info: FieldInfo, said: str, limits: dict[str, str]) -> str:
    place = f"{path}.{alias}"
    variable = next(name for name, target in variables().items() if target == place)
    meaning = f"{_in_a_row(said)}<br>`{variable}`"
    if limits.get(place):
        meaning += f"<br>*Not yet:* {limits[place]}"
    default = json.dumps(plain(info.get_default(call_default_factory=True)), ensure_ascii=False)
    return f"| `{alias}` | {_type(info)} | `{default}` | {meaning} |"


def _item(model: type[BaseModel]) -> Iterator[str]:
    """The fields of a list's items."""
    yield f"*{(model.__doc__ or '').strip()}*\n"
    yield "| field of an item | type | meaning |\n| --- | --- | --- |"
    for name, said in descriptions(model).items():
        info = model.model_fields[name]
        yield f"| `{info.alias or name}` | {_type(info)} | {_in_a_row(said)} |"
    yield ""


def _in_a_row(said: str) -> str:
    """Without the ends of its lines, which would end the row of the table."""
    return " ".join(said.split())


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _item_model(annotation: Any) -> type[BaseModel] | None:
    arguments = get_args(annotation) if get_origin(annotation) is list else ()
    return arguments[0] if arguments and _is_section(arguments[0]) else None


def _type(info: FieldInfo) -> str:
    bounds = {type(limit).__name__: limit for limit in info.metadata}
    least, most = (getattr(bounds.get(name), key, None) for name, key in (("Ge", "ge"), ("Le", "le")))
    words = _words(info.annotation, [getattr(limit, "pattern", None) for limit in info.metadata])
    if least is not None and most is not None:
        return f"{words}, {least:,} to {most:,}"
    return f"{words}, at least {least:,}" if least is not None else words


def _words(annotation: Any, patterns: list[str | None]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0], [getattr(limit, "pattern", None) for limit in arguments[1:]])
    if origin is list:
        return f"list of {_words(arguments[0], [])}"
    if origin is types.UnionType:
        return " or ".join(_words(part, []) for part in arguments if part is not type(None))
    if choices := _choices(annotation):
        return " \\| ".join(f"`{choice}`" for choice in choices)
    if any(pattern and "ms" in pattern for pattern in patterns):
        return "duration"
    return "items as below" if _is_section(annotation) else _PLAIN.get(origin or annotation, "value")


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    is_enum = isinstance(annotation, type) and issubclass(annotation, Enum)
    return [str(member.value) for member in annotation] if is_enum else []


_PLAIN = {int: "whole number", bool: "true or false", str: "text", dict: "table"}


if __name__ == "__main__":
    sys.exit(finish(REFERENCE / "configuration.md", text()))
