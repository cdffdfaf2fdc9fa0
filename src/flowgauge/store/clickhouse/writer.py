# SPDX-License-Identifier: Apache-2.0
"""FlowBatch → table ``flows``: as a segment file in shared memory for the embedded store, by HTTP for a server.

A write returns when its rows are durable. The token names the batch, so that a retry after a lost answer adds nothing.
Neighbours: ``collector.writer`` before, the store after.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from flowgauge.errors import DataError
from flowgauge.flow.arrow import from_arrow, to_arrow
from flowgauge.flow.batch import FlowBatch
from flowgauge.store.clickhouse.client import Clients
from flowgauge.store.errors import StoreFull, StoreRejected, StoreUnavailable

MAX_INSERT_ROWS = 500_000
"""Rows of one insert; a longer batch becomes several, each with its own token."""

SEGMENT_FOLDER_BYTES = 512 << 20
"""What all waiting segments together may take of shared memory."""

_FILE_BYTES = 1 << 18
"""What a segment file takes at most beside its columns: a few hundred headers and paddings."""

_TOKEN = re.compile(r"[\w.:/@+-]{1,200}")
_PAUSES_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


class Writer:
    """Writes batches through ``clients``.

    Args:
        retry_s: how long to try again while the store does not answer.
        on_retry: called before each such retry.
    """

    def __init__(self, clients: Clients, *, retry_s: float, on_retry: Callable[[], None] | None) -> None:
        self._clients, self._retry_s = clients, retry_s
        self._on_retry = on_retry or (lambda: None)

    def write(self, batch: FlowBatch, token: str, present: Collection[str], segment_dir: Path | None) -> int:
        """Inserts the columns of ``batch`` that the table has.

        Raises:
            DataError: a batch before ``normalise``, or a malformed token.
            StoreUnavailable, StoreFull, StoreRejected: see ``FlowStore.write``.
        """
        _check(batch, token)
        names = [name for name in batch if name in present]
        table = to_arrow(batch, names)
        for number, start in enumerate(range(0, len(batch), MAX_INSERT_ROWS)):
            part = table.slice(start, MAX_INSERT_ROWS)
            part_token = token if len(batch) <= MAX_INSERT_ROWS else f"{token}/{number}"
            self._persist(partial(self._insert, part, names, part_token, segment_dir))
        return len(batch)

    def write_pieces(self, pieces: Iterable[FlowBatch], token: str, present: Collection[str], segment_dir: Path | None) -> int:
        """Inserts ``pieces`` as one batch; for the embedded store they wait as files in shared memory, if there is room.

        More than ``MAX_INSERT_ROWS`` are several inserts in any case: their tokens must be the same at the next try.

        One try only: with the store its folder and the files in it may have gone, and who has the pieces makes them again.
        Raises as ``write``.
        """
        left = iter(pieces)
        if segment_dir is None:
            return self._write_together(list(left), token, present)
        stem, files, names, rows = segment_dir / uuid.uuid4().hex, list[Path](), dict[str, None](), 0
        with contextlib.ExitStack() as stack:
            for piece in left:
                _check(piece, token)
                here = [name for name in piece if name in present]
                part = to_arrow(piece, here)
                if rows + len(piece) > MAX_INSERT_ROWS or not _room(segment_dir, part.nbytes):
                    every = [*map(_read_back, files), piece, *left]
                    stack.close()  # the store puts what it gets by HTTP there, too
                    return self._write_together(every, token, present)
                files.append(stack.enter_context(_segment(Path(f"{stem}-{len(files)}.arrow"), part)))
                names |= dict.fromkeys(here)
                rows += len(piece)
            if files:
                path = f"{stem}-{{{','.join(map(str, range(len(files))))}}}.arrow" if len(files) > 1 else str(files[0])
                self._insert_files(path, files, names, token)
        return rows

    def _write_together(self, pieces: Sequence[FlowBatch], token: str, present: Collection[str]) -> int:
        return self.write(FlowBatch.concat(pieces), token, present, None) if pieces else 0

    def _insert_files(self, path: str, files: Sequence[Path], names: Iterable[str], token: str) -> None:
        statement = f"INSERT INTO flows ({', '.join(names)}) FROM INFILE '{path}' FORMAT Arrow"
        try:
            with self._clients.use() as client:
                client.command(statement, settings=_settings(token))
        except StoreRejected as error:
            if all(file.exists() for file in files):
                raise
            raise StoreUnavailable("the store was started again, which empties its folder of segments") from error

    def insert_rows(self, table: str, rows: pa.Table, token: str) -> None:
        """Inserts a small Arrow table over HTTP, into any table."""
        body = _stream(rows)
        settings = _settings(token)

        def insert() -> None:
            with self._clients.use() as client:
                client.raw_insert(table, rows.column_names, body, settings=settings, fmt="ArrowStream")

        self._persist(insert)

    def _persist(self, insert: Callable[[], None]) -> None:
        deadline = time.monotonic() + self._retry_s
        for pause in _pauses():
            try:
                insert()
            except StoreFull:
                raise
            except StoreUnavailable:
                if time.monotonic() + pause > deadline:
                    raise
            else:
                return
            self._on_retry()
            time.sleep(pause)

    def _insert(self, part: pa.RecordBatch, names: list[str], token: str, segment_dir: Path | None) -> None:
        if segment_dir is not None and _room(segment_dir, part.nbytes):
            with _segment(segment_dir / f"{uuid.uuid4().hex}.arrow", part) as path:
                self._insert_files(str(path), [path], names, token)
        else:
            with self._clients.use() as client:
                client.raw_insert(
                    "flows", names, _stream(pa.Table.from_batches([part])), settings=_settings(token), fmt="ArrowStream"
                )


def _settings(token: str) -> dict[str, Any]:
    """One thread, so that an insert is one part of each hour, whole or not there."""
    return {"insert_deduplication_token": token, "insert_deduplicate": 1, "async_insert": 0, "max_insert_threads": 1}


def _check(batch: FlowBatch, token: str) -> None:
    if "time_end_ms" not in batch:
        raise DataError("only normalised batches can be stored: this one has no time_end_ms")
    if not _TOKEN.fullmatch(token):
        raise DataError(f"{token!r} is no token: up to 200 letters, digits and . : / @ + - _")


def _pauses() -> Iterator[float]:
    yield from _PAUSES_S
    while True:
        yield _PAUSES_S[-1]


def _room(folder: Path, nbytes: int) -> bool:
    """Whether one more segment may go to the folder, and fits there; one that cannot be seen from here has no room."""
    try:
        taken, disk = sum(entry.stat().st_size for entry in folder.iterdir()), os.statvfs(folder)
    except OSError:
        return False
    return taken + nbytes <= SEGMENT_FOLDER_BYTES and nbytes + _FILE_BYTES <= disk.f_bavail * disk.f_frsize


@contextlib.contextmanager
def _segment(path: Path, part: pa.RecordBatch) -> Iterator[Path]:
    """A segment file that lives as long as its insert. No fsync: until the insert returned the batch is the caller's."""
    try:
        try:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, part.schema) as stream:
                stream.write_batch(part)
        except OSError as error:
            raise StoreUnavailable(f"no segment can be written to {path.parent}: {error}") from error
        yield path
    finally:
        path.unlink(missing_ok=True)


def _read_back(path: Path) -> FlowBatch:
    """What is in a segment file."""
    try:
        return from_arrow(pa.ipc.open_file(pa.BufferReader(path.read_bytes())).read_all())
    except OSError as error:
        raise StoreUnavailable(f"a segment cannot be read back from {path.parent}: {error}") from error


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data
