# SPDX-License-Identifier: Apache-2.0
"""The event log: one line ``{"type", "time", "object"}`` per watch event, which ``--kubernetes-objects`` reads and follows.

Written by one thread; a line is complete once its newline is there.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path

from flowgauge.demo.objects.meta import Object, rfc3339


class EventLog:
    """Appends events to ``path`` (made empty); every event gets the next ``resourceVersion``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._versions = itertools.count(1000)
        self._lock = threading.Lock()
        path.write_text("", encoding="utf-8")
        path.chmod(0o644)

    def added(self, thing: Object, time_ns: int) -> Object:
        """The object was made; returns it as written."""
        return self._append("ADDED", thing, time_ns)

    def modified(self, thing: Object, time_ns: int) -> Object:
        """The object has a new state; returns it as written."""
        return self._append("MODIFIED", thing, time_ns)

    def deleted(self, thing: Object, time_ns: int) -> None:
        """The object is gone."""
        self._append("DELETED", thing, time_ns)

    def _append(self, kind: str, thing: Object, time_ns: int) -> Object:
        with self._lock:
            thing["metadata"]["resourceVersion"] = str(next(self._versions))
            line = json.dumps({"type": kind, "time": rfc3339(time_ns), "object": thing}, separators=(",", ":"))
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        return thing


def present(path: Path) -> Iterator[Object]:
    """The objects that exist at the end of the log, in the order in which they were made."""
    state: dict[str, Object] = {}
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            event = json.loads(line)
            uid = event["object"]["metadata"]["uid"]
            if event["type"] == "DELETED":
                state.pop(uid, None)
            else:
                state[uid] = event["object"]
    yield from state.values()
