# SPDX-License-Identifier: Apache-2.0
"""A FlowCollector document from a file: all of its problems at once, each with path and line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flowgauge.config import explain, yaml_text
from flowgauge.config.model import API_VERSION, KIND, FlowCollector
from flowgauge.config.yaml_text import YamlDocument
from flowgauge.errors import ConfigError, Problem, UsageError

SINGLETON = "cluster"

_MAX_BYTES = 4 * yaml_text.MAX_CHARACTERS + 1
"""More than UTF-8 takes for as many characters."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A document that was read.

    Attributes:
        document: the whole document, typed; what it does not say has its default.
        notes: what was assumed when reading it, a sentence each.
        source: its file's name, for messages.
        data: the document as plain values, as the user wrote it (header completed, empty values left out).
        lines: line of each path in the file.
    """

    document: FlowCollector
    notes: tuple[str, ...] = ()
    source: str = "defaults"
    data: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)


def load(path: Path) -> Loaded:
    """Reads the document at ``path``.

    Raises:
        UsageError: the file cannot be read.
        ConfigError: the document has problems.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES)
        if len(content) == _MAX_BYTES:  # a device, perhaps, that has no end
            raise ConfigError(str(path), [yaml_text.TOO_LONG])
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [Problem("", f"is not UTF-8 text (byte {error.start})")]) from error
    return loads(text, str(path))


def loads(text: str, source: str = "document") -> Loaded:
    """Reads a document from text; ConfigError as for ``load``."""
    notes: list[str] = []
    yaml_document = _chosen(yaml_text.parse(text, source), source, notes)
    if yaml_document.value is None and yaml_document.problems:
        raise ConfigError(source, yaml_document.problems)
    data = _with_header(yaml_document.value, source, notes)
    found = list(yaml_document.problems)
    document = FlowCollector()
    try:
        document = FlowCollector.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        found += explain.problems(error, yaml_document.lines)
    if found:
        raise ConfigError(source, sorted(found, key=lambda problem: problem.line))
    if document.metadata.name != SINGLETON:
        notes.append(f"metadata.name is {document.metadata.name!r}; in a cluster the one FlowCollector is called {SINGLETON}")
    return Loaded(document, tuple(notes), source, data, yaml_document.lines)


def _chosen(documents: list[YamlDocument], source: str, notes: list[str]) -> YamlDocument:
    """The FlowCollector among a file's documents."""
    if not documents:
        raise ConfigError(source, [Problem("", "is empty; the smallest document is: spec: {}")])
    if len(documents) == 1:
        return documents[0]
    ours = [one for one in documents if isinstance(one.value, dict) and one.value.get("kind") == KIND]
    if len(ours) != 1:
        words = f"holds {len(documents)} documents, {len(ours)} of them of kind {KIND}; keep one"
        raise ConfigError(source, [Problem("", words)])
    notes.append(f"{len(documents) - 1} other document(s) in the file are left alone")
    return ours[0]


def _with_header(value: Any, source: str, notes: list[str]) -> dict[str, Any]:
    """The document's fields; a header that is missing is completed, with a note."""
    if not isinstance(value, dict):
        words = "is not a FlowCollector document: it begins with apiVersion, kind, metadata and spec"
        raise ConfigError(source, [Problem("", words)])
    data: dict[str, Any] = _without_empty(value)
    missing = [name for name in ("apiVersion", "kind") if name not in data]
    if missing and ("spec" in value or not data):
        assumed = {"apiVersion": API_VERSION, "kind": KIND}
        notes.append(f"no {' and '.join(missing)}: {', '.join(f'{name}: {assumed[name]}' for name in missing)} assumed")
    return data


def _without_empty(value: Any) -> Any:
    """Fields without a value are left out, as the API server does."""
    if isinstance(value, dict):
        return {key: _without_empty(item) for key, item in value.items() if item is not None}
    return value
