# SPDX-License-Identifier: Apache-2.0
"""Reads fields of an API object as JSON, and says what was expected where when one is not there.

Before: ``documents``, which gives the JSON; after: ``parse``. Pure.
"""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from flowgauge.errors import DataError

Json = Mapping[str, Any]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS = dt.timedelta(milliseconds=1)


class MalformedObject(DataError):
    """A field of an object is not what the API has there: ``path``, what was ``expected``, what was ``found`` (shown)."""

    def __init__(self, path: str, expected: str, found: object) -> None:
        super().__init__(path, expected, found)
        self.path, self.expected = path, expected
        self.found = "nothing" if found is None else repr(found)[:80]

    def __str__(self) -> str:
        return f"{self.path or 'the document'}: expected {self.expected}, found {self.found}"

    def below(self, prefix: str) -> MalformedObject:
        """The same problem, of an object that is itself at ``prefix`` in a larger one."""
        moved = MalformedObject((prefix + self.path).rstrip("."), self.expected, None)
        moved.found = self.found
        return moved


def at(value: object, path: str) -> Any:
    """What is at the dotted ``path``; None when a part of it is absent, MalformedObject when a part is no mapping."""
    here: Any = value
    keys = path.split(".")
    for depth, key in enumerate(keys):
        if not isinstance(here, dict):
            if here is None:
                return None
            raise MalformedObject(".".join(keys[:depth]), "a mapping", here)
        here = here.get(key)
    return here


def text(value: object, path: str, *, default: str | None = None) -> str:
    """The text at ``path``; ``default`` when absent, MalformedObject without a default."""
    found = at(value, path)
    if found is None and default is not None:
        return default
    if not isinstance(found, str):
        raise MalformedObject(path, "a text", found)
    return _whole(found)


def items(value: object, path: str) -> Sequence[Any]:
    """The list at ``path``; empty when absent."""
    found = at(value, path)
    if found is None:
        return ()
    if not isinstance(found, list):
        raise MalformedObject(path, "a list", found)
    return found


def texts(value: object, path: str) -> dict[str, str]:
    """The mapping of texts at ``path`` (labels, a selector); empty when absent."""
    found = at(value, path)
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(key, str) and isinstance(one, str) for key, one in found.items()):
        raise MalformedObject(path, "a mapping of texts", found)
    return {_whole(key): _whole(one) for key, one in found.items()}


def port(value: object, path: str) -> int:
    """The port number at ``path``."""
    found = at(value, path)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= 65535:
        raise MalformedObject(path, "a port number", found)
    return found


def address(found: object, path: str) -> str:
    """An IP address in its usual spelling."""
    try:
        return _usual(found if isinstance(found, str) else "")
    except ValueError:
        raise MalformedObject(path, "an IP address", found) from None


@functools.lru_cache(maxsize=65_536)
def _usual(text: str) -> str:
    """Remembered: the same addresses come again in pods, endpoints and their next states."""
    return str(ipaddress.ip_address(text))


def time_ms(found: object, path: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 time, of any precision, rounded down."""
    try:
        when = dt.datetime.fromisoformat(found if isinstance(found, str) else "")
    except ValueError:
        raise MalformedObject(path, "an RFC 3339 time", found) from None
    if when.tzinfo is None:
        raise MalformedObject(path, "an RFC 3339 time with a zone", found)
    return (when - _EPOCH) // _MS


def block(found: object, path: str) -> str:
    """An address block (CIDR) in its usual spelling."""
    try:
        return str(ipaddress.ip_network(found if isinstance(found, str) else "", strict=False))
    except ValueError:
        raise MalformedObject(path, "an address block such as 10.0.0.0/8", found) from None


def _whole(found: str) -> str:
    """JSON can spell half a character (a lone surrogate), which no file or store takes: it becomes ``?``."""
    return found if found.isascii() else found.encode("utf-8", "replace").decode("utf-8")
