# SPDX-License-Identifier: Apache-2.0
"""JSON documents → changes of objects: watch events as they are, Lists and single objects as objects that exist.

Before: ``documents``; after: ``enrich``. Pure: the time of what has no time of its own is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from flowgauge.k8s import fields
from flowgauge.k8s.fields import MalformedObject
from flowgauge.k8s.objects import KubernetesObject
from flowgauge.k8s.parse import parse


class ChangeKind(StrEnum):
    """What happened; the words of the API's watch events."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """``object`` is in this state since ``time_ms`` (ms since 1970); for DELETED it was, until then."""

    kind: ChangeKind
    time_ms: int
    object: KubernetesObject


def is_event(document: Any) -> bool:
    """Whether the document is a watch event rather than an object or a List."""
    return isinstance(document, dict) and "type" in document and "object" in document


def changes(document: dict[str, Any], seen_ms: int) -> Iterator[Change | MalformedObject]:
    """Everything that a document tells; a malformed object is given as its problem and the others go on.

    Args:
        document: a watch event, a List or an object.
        seen_ms: when it was true: the time for objects and for events without a time.
    """
    if is_event(document):
        yield from _event(document, seen_ms)
    elif _is_list(document):
        item_kind = document["kind"].removesuffix("List")
        for number, item in enumerate(document["items"]):
            yield from _object(ChangeKind.ADDED, _with_kind(item, item_kind), seen_ms, f"items[{number}].")
    else:
        yield from _object(ChangeKind.ADDED, document, seen_ms, "")


def _event(event: dict[str, Any], seen_ms: int) -> Iterator[Change | MalformedObject]:
    what, time = event["type"], event.get("time")
    if what == "BOOKMARK":
        return
    try:
        kind = _kind(event)
        time_ms = fields.time_ms(time, "time") if time is not None else seen_ms
    except MalformedObject as problem:
        yield problem
        return
    yield from _object(kind, event["object"], time_ms, "object.")


def _kind(event: dict[str, Any]) -> ChangeKind:
    what = event["type"]
    if what == "ERROR":
        raise MalformedObject("type", "events until the end", fields.text(event, "object.message", default="ERROR"))
    if not isinstance(what, str) or what not in ChangeKind.__members__:
        raise MalformedObject("type", "ADDED, MODIFIED, DELETED, BOOKMARK or ERROR", what)
    return ChangeKind(what)


def _object(kind: ChangeKind, value: object, time_ms: int, prefix: str) -> Iterator[Change | MalformedObject]:
    try:
        found = parse(value)
    except MalformedObject as problem:
        yield problem.below(prefix)
        return
    if found is not None:
        yield Change(kind, time_ms, found)


def _is_list(document: dict[str, Any]) -> bool:
    kind = document.get("kind")
    return isinstance(kind, str) and kind.endswith("List") and isinstance(document.get("items"), list)


def _with_kind(item: object, kind: str) -> object:
    """The items of a typed list (``kubectl get --raw``) do not repeat their kind."""
    return {**item, "kind": kind} if kind and isinstance(item, dict) and "kind" not in item else item
