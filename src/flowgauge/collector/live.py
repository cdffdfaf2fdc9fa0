# SPDX-License-Identifier: Apache-2.0
"""The live tap: flows as they pass, to whoever watches ``GET /api/v1/live?filter=&columns=`` (server-sent events).

The process thread only hands batches over; each viewer's HTTP thread filters, cuts and writes. A viewer that is too slow loses
the oldest batches (``live_rows_dropped``), never holds up the pipeline, and there are at most ``MAX_VIEWERS``.
"""

from __future__ import annotations

import base64
import io
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from flowgauge.errors import UsageError
from flowgauge.flow.arrow import to_arrow
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.mask import mask
from flowgauge.flow.rows import to_rows
from flowgauge.runtime.http import Handler, Request, Response, as_events, as_json
from flowgauge.runtime.ledger import Ledger
from flowgauge.schema import filters
from flowgauge.schema.columns import BY_NAME, stored_columns
from flowgauge.schema.filters.tree import Bound

MAX_VIEWERS = 32
"""Streams at once; each holds a thread and up to ``MAX_WAITING_ROWS``."""
MAX_WAITING_ROWS = 100_000
"""Rows that wait for one viewer; batches are shared with the writer's queue, so mostly this costs nothing more."""
MAX_EVENT_ROWS = 1_000
"""Rows of one event: nobody reads more, and each becomes a Python object. ``skipped`` says how many were left out.

Programs that pass all flows on ask for ``format=arrow``: columns, of which none is left out."""
KEEP_ALIVE_S = 5.0
"""A comment is sent when nothing came for so long: it finds clients that went away, and keeps proxies from cutting."""

_TICK_S = 0.5


class Viewer:
    """What one client watches, and the batches that wait for it."""

    def __init__(self, where: Bound, columns: Sequence[str], *, duplicates: bool, ledger: Ledger, arrow: bool = False) -> None:
        self._where, self._columns, self._duplicates, self._arrow = where, tuple(columns), duplicates, arrow
        self._ledger = ledger
        self._waiting: deque[FlowBatch] = deque()
        self._rows = 0
        self._dropped = 0
        self._changed = threading.Condition()

    def offer(self, batch: FlowBatch) -> None:
        """Adds a batch; the oldest go when too many rows wait."""
        with self._changed:
            self._waiting.append(batch)
            self._rows += len(batch)
            while self._rows > MAX_WAITING_ROWS and len(self._waiting) > 1:
                lost = len(self._waiting.popleft())
                self._rows -= lost
                self._dropped += lost
                self._ledger.add("live_rows_dropped", lost)
            self._changed.notify()

    def take(self, timeout_s: float) -> tuple[FlowBatch | None, int]:
        """(oldest batch, or None when there is none within ``timeout_s``; rows dropped since the last call)."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, timeout_s)
            if not self._waiting:
                return None, 0
            batch = self._waiting.popleft()
            self._rows -= len(batch)
            dropped, self._dropped = self._dropped, 0
            return batch, dropped

    def rest(self) -> Iterator[bytes]:
        """The events of what still waits at the end."""
        batch, dropped = self.take(0)
        while batch is not None:
            yield self.event(batch, dropped)
            batch, dropped = self.take(0)

    def event(self, batch: FlowBatch, dropped: int) -> bytes:
        """The event of one batch: {columns, rows, matched, skipped}, the newest rows when there are too many.

        As Arrow it has, in place of the rows, all of them as an IPC stream in base64, with the physical columns.
        """
        passes = mask(self._where, batch)
        if not self._duplicates:
            passes &= batch.array("duplicate_of") == 0
        rows = np.flatnonzero(passes)
        shown = batch.take(rows if self._arrow else rows[-MAX_EVENT_ROWS:])
        body: dict[str, Any] = {
            "columns": self._columns,
            **({"arrow": _arrow(shown, self._columns)} if self._arrow else {"rows": to_rows(shown, self._columns)}),
            "matched": len(rows),
            "skipped": len(rows) - len(shown) + dropped,
        }
        return b"data: " + msgspec.json.encode(body) + b"\n\n"


class LiveTap:
    """Hands batches to the viewers there are."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._viewers: list[Viewer] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()

    @property
    def viewers(self) -> int:
        """How many watch."""
        return len(self._viewers)

    def publish(self, batch: FlowBatch) -> None:
        """Called by the process thread with each batch as it is stored."""
        with self._lock:
            viewers = list(self._viewers)
        for viewer in viewers:
            viewer.offer(batch)

    def stop(self) -> None:
        """Ends all streams."""
        self._closed.set()

    def routes(self) -> dict[str, Handler]:
        """``/api/v1/live``."""
        return {"/api/v1/live": self._live}

    def _live(self, request: Request) -> Response:
        where = filters.bound(request.value("filter"))
        columns = _columns(request.value("columns"))
        viewer = Viewer(
            where, columns, duplicates=_flag(request.value("duplicates")), ledger=self._ledger,
            arrow=request.value("format") == "arrow",
        )  # fmt: skip
        if self.viewers >= MAX_VIEWERS:
            message = f"{MAX_VIEWERS} clients watch already; close one of them"
            return as_json({"error": {"message": message}}, HTTPStatus.SERVICE_UNAVAILABLE)
        return as_events(self._events(viewer, request.stopping))

    def _events(self, viewer: Viewer, stopping: threading.Event) -> Iterator[bytes]:
        with self._lock:
            self._viewers.append(viewer)
        try:
            yield b": open\n\n"
            said_at = time.monotonic()
            while not (stopping.is_set() or self._closed.is_set()):
                batch, dropped = viewer.take(_TICK_S)
                if batch is not None:
                    yield viewer.event(batch, dropped)
                elif time.monotonic() - said_at < KEEP_ALIVE_S:
                    continue
                else:
                    yield b": keep-alive\n\n"
                said_at = time.monotonic()
            self._leave(viewer)
            yield from viewer.rest()
        finally:
            self._leave(viewer)

    def _leave(self, viewer: Viewer) -> None:
        with self._lock:
            self._viewers = [one for one in self._viewers if one is not viewer]


def _arrow(batch: FlowBatch, columns: Sequence[str]) -> str:
    held = to_arrow(batch, [name for name in (BY_NAME[column].physical for column in columns) if name in batch])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, held.schema) as writer:
        writer.write_batch(held)
    return base64.b64encode(sink.getbuffer()).decode()


def _columns(text: str) -> tuple[str, ...]:
    """Public names by commas; all that are stored when empty."""
    names = tuple(filter(None, (name.strip() for name in text.split(","))))
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise UsageError(f"there is no column {unknown[0]!r}")
    return names or tuple(column.name for column in stored_columns())


def _flag(text: str) -> bool:
    return text.lower() in ("1", "true", "yes")
