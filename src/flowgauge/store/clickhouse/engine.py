# SPDX-License-Identifier: Apache-2.0
"""The embedded engine: chDB handles, one a thread, in two bounded pools: writers and read-only readers.

Never ``send_insert`` (it reports success for rows it lost), never one handle in two threads (parameters mix), never a fork
after opening (it hangs). Neighbours: ``http_server`` in front, the data directory behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from flowgauge.runtime import logs

DATABASE = "flowgauge"

_T = TypeVar("_T")

_log = logs.get("store")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the engine may use.

    Attributes:
        memory_bytes: of the whole engine; a query that would exceed it fails, the engine lives on.
        query_memory_bytes: of one reader's query.
        query_seconds: of one reader's query.
        result_bytes: of one reader's answer.
        mark_cache_bytes: the engine's default is 5 GiB.
        threads: of one query and of the background merges; the engine's default is every core.
        readers, writers: statements at work at once.
        waiting: statements that may wait for one of those threads; more are told to come back.
    """

    memory_bytes: int = 2 << 30
    query_memory_bytes: int = 1 << 30
    query_seconds: int = 30
    result_bytes: int = 256 << 20
    mark_cache_bytes: int = 64 << 20
    threads: int = 2
    readers: int = 4
    writers: int = 2
    waiting: int = 64


class Busy(Exception):
    """Too many statements wait already."""


@dataclass(frozen=True, slots=True)
class Result:
    """A statement's answer in the asked format, with the engine's own counts."""

    body: bytes
    rows_read: int
    bytes_read: int
    elapsed_ns: int


@dataclass(frozen=True, slots=True)
class _Call:
    sql: str
    format: str
    params: Mapping[str, str]
    settings: dict[str, str]
    database: str


@dataclass(slots=True)
class _Handle:
    """One thread's connection and the state it was left in."""

    connection: Any
    database: str = DATABASE
    settings: dict[str, str] = field(default_factory=dict)


class Engine:
    """chDB over ``directory`` between ``start`` and ``stop``; one a process."""

    def __init__(self, directory: Path, limits: Limits) -> None:
        self._directory, self._limits = directory, limits
        self._writers: _Pool | None = None
        self._readers: _Pool | None = None

    def start(self) -> None:
        """Opens the engine; RuntimeError with the engine's text when the directory cannot be opened."""
        import chdb  # noqa: PLC0415 - 0.3 s and 500 MB of library, only in this process

        options = {
            "max_server_memory_usage": self._limits.memory_bytes,
            "mark_cache_size": self._limits.mark_cache_bytes,
            "max_threads": self._limits.threads,
            "background_pool_size": max(2, self._limits.threads),
        }
        address = f"{self._directory.resolve()}?{urlencode(options)}"
        first = chdb.connect(address)
        first.query(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")

        def open_writer() -> _Handle:
            return _prepared(chdb.connect(address), {"async_insert": "0", "insert_deduplicate": "1"})

        def open_reader() -> _Handle:
            return _prepared(chdb.connect(address), _reader_profile(self._limits))

        self._writers = _Pool("store-writer", self._limits.writers, self._limits.waiting, open_writer)
        self._readers = _Pool("store-reader", self._limits.readers, self._limits.waiting, open_reader)
        self._writers.run(lambda _: None)  # a handle keeps the engine open after ``first`` is closed
        first.close()

    def write(self, sql: str, *, format_: str = "TabSeparated", params: Mapping[str, str] | None = None,
              settings: Mapping[str, str] | None = None, database: str = DATABASE) -> Result:  # fmt: skip
        """Runs a statement with all rights; ChdbError with ``Code: N`` in its text when the engine refuses it."""
        assert self._writers is not None  # noqa: S101 - start() was called
        wanted = dict(settings or {})
        return self._writers.run(lambda handle: _execute(handle, _Call(sql, format_, params or {}, wanted, database)))

    def read(self, sql: str, *, format_: str = "TabSeparated", params: Mapping[str, str] | None = None,
             database: str = DATABASE) -> Result:  # fmt: skip
        """Runs a query on a read-only handle with the readers' limits, which no query can change."""
        assert self._readers is not None  # noqa: S101 - start() was called
        return self._readers.run(lambda handle: _execute(handle, _Call(sql, format_, params or {}, {}, database)))

    def stop(self) -> None:
        """Waits for the statements at work and closes the engine."""
        for pool in (self._readers, self._writers):
            if pool is not None:
                pool.close()


class _Pool:
    """Threads that each own a handle, opened at the thread's first statement."""

    def __init__(self, name: str, size: int, waiting: int, open_handle: Callable[[], _Handle]) -> None:
        self._local = threading.local()
        self._open = open_handle
        self._handles: list[_Handle] = []
        self._room = threading.BoundedSemaphore(size + waiting)
        self._executor = ThreadPoolExecutor(size, name)

    def run(self, work: Callable[[_Handle], _T]) -> _T:
        """Runs ``work`` in one of the threads and waits for it; Busy when too many wait."""
        if not self._room.acquire(blocking=False):
            raise Busy
        try:
            future = self._executor.submit(self._work, work)
        except RuntimeError as error:  # closed
            raise Busy from error
        else:
            return future.result()
        finally:
            self._room.release()

    def _work(self, work: Callable[[_Handle], _T]) -> _T:
        handle: _Handle | None = getattr(self._local, "handle", None)
        if handle is None:
            handle = self._local.handle = self._open()
            self._handles.append(handle)
        return work(handle)

    def close(self) -> None:
        self._executor.shutdown(wait=True)
        for handle in self._handles:
            handle.connection.close()
        self._handles.clear()


def _prepared(connection: Any, profile: Mapping[str, str]) -> _Handle:
    connection.query(f"USE {DATABASE}")
    connection.query("SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in profile.items()))
    return _Handle(connection)


def _reader_profile(limits: Limits) -> dict[str, str]:
    """Settings of readers; ``readonly`` comes last: it freezes the others."""
    return {
        "max_execution_time": str(limits.query_seconds),
        "max_memory_usage": str(limits.query_memory_bytes),
        "max_result_bytes": str(limits.result_bytes),
        "max_threads": str(limits.threads),
        "max_ast_elements": "200000",
        "max_expanded_ast_elements": "500000",
        "output_format_arrow_low_cardinality_as_dictionary": "1",
        "readonly": "1",
    }


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _execute(handle: _Handle, call: _Call) -> Result:
    query = handle.connection.query
    if call.database != handle.database:
        query(f"USE `{call.database}`")
        handle.database = call.database
    _adjust(handle, call.settings)
    answer = query(call.sql, call.format, params=dict(call.params))
    return Result(answer.bytes() or b"", answer.rows_read(), answer.bytes_read(), int(answer.elapsed() * 1e9))


def _adjust(handle: _Handle, settings: dict[str, str]) -> None:
    """Brings the handle's settings to ``settings``: what an earlier statement had asked for goes back to its default."""
    if handle.settings == settings:
        return
    changes = [f"{name} = DEFAULT" for name in handle.settings.keys() - settings.keys()]
    changes += [f"{name} = {quoted(value)}" for name, value in settings.items() if handle.settings.get(name) != value]
    handle.settings = {**handle.settings, **settings}  # should SET fail half-way, the next statement resets all of them
    for change in changes:
        handle.connection.query(f"SET {change}")
    handle.settings = dict(settings)
