# SPDX-License-Identifier: Apache-2.0
"""What every API object has: metadata, owners, times, names with random endings."""

from __future__ import annotations

import datetime as dt
import secrets
import uuid
from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]
"""One API object, as JSON."""

_SAFE = "bcdfghjklmnpqrstvwxz2456789"
"""What Kubernetes makes random names of: no vowels and no look-alikes."""


def ending(length: int) -> str:
    """A random ending of a name."""
    return "".join(secrets.choice(_SAFE) for _ in range(length))


def rfc3339(time_ns: int) -> str:
    """A time with nanoseconds, UTC (RFC 3339)."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


def seconds_only(time_ns: int) -> str:
    """A time as ``metadata.creationTimestamp`` has it: whole seconds."""
    return rfc3339(time_ns).partition(".")[0] + "Z"


def made(
    api_version: str,
    kind: str,
    name: str,
    *,
    namespace: str = "",
    time_ns: int,
    labels: Mapping[str, str] | None = None,
    owner: Object | None = None,
    **sections: Any,
) -> Object:
    """An object with fresh metadata and the given sections (``spec``, ``status`` …)."""
    metadata: Object = {"name": name, "uid": str(uuid.uuid4()), "creationTimestamp": seconds_only(time_ns)}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    if owner is not None:
        metadata["ownerReferences"] = [_reference(owner)]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **sections}


def _reference(owner: Object) -> Object:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
