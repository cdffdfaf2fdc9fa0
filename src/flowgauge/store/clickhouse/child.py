# SPDX-License-Identifier: Apache-2.0
"""The embedded store's process: ``flowgauge store``. Owns the engine, so that its crash or upgrade is not the collector's.

Order: lock → processor and engine version → engine → tables → space guard → HTTP. Started as a new process, never forked:
the engine hangs in a fork. What it acknowledged is on disk (both fsync settings): it may be killed at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import logs
from flowgauge.schema.column import Stored
from flowgauge.schema.columns import DEFAULT_GROUPS
from flowgauge.store.clickhouse import guard
from flowgauge.store.clickhouse.data_dir import DataDir, check_cpu
from flowgauge.store.clickhouse.ddl import SCHEMA_VERSION
from flowgauge.store.clickhouse.engine import Engine, Limits
from flowgauge.store.clickhouse.http_server import StoreServer
from flowgauge.store.clickhouse.migrate import migrate
from flowgauge.store.clickhouse.retention import SpaceGuard, disk_space

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the segment folder below it is ours alone (mode 0700)
MIN_SHARED_MEMORY_BYTES = 256 << 20
"""Below this (a container's default is 64 MiB) segments go to the data directory instead."""

SPACE_CHECK_S = 5.0
_SEGMENTS = "segments"

_log = logs.get("store")


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How the embedded store runs.

    Attributes:
        data_dir: the store's folder; made when missing.
        secret: opens reading and writing.
        port: on 127.0.0.1; 0 takes a free one.
        retention_hours: age at which an hour of flows is dropped.
        groups: column groups stored beside the core.
        segment_dir: where clients of this machine put segments; None chooses a folder in shared memory.
        ready_fd: a descriptor to which the port is written when requests are served; -1 for none.
    """

    data_dir: Path
    secret: str
    port: int = 0
    retention_hours: int = 7 * 24
    groups: tuple[Stored, ...] = DEFAULT_GROUPS
    segment_dir: Path | None = None
    ready_fd: int = -1
    limits: Limits = field(default_factory=Limits)


class Store:
    """The process's parts between ``start`` and ``stop``."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._data_dir = DataDir(settings.data_dir)
        self._engine = Engine(self._data_dir.engine_path, settings.limits)
        self._guard = SpaceGuard(
            self.execute, lambda: disk_space(settings.data_dir), settings.data_dir, retention_hours=settings.retention_hours
        )
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="store-space", daemon=True)
        self._server: StoreServer | None = None
        self._segment_dir: Path | None = None
        self._version = ""
        self.port = 0

    def start(self) -> None:
        """Takes the folder and serves; EnvironmentProblem when something stands against it."""
        check_cpu()
        self._data_dir.acquire()
        try:
            self._version = _engine_version()
            self._data_dir.check_engine(self._version)
            self._open()
            self._segment_dir = _segment_dir(self._settings)
            self._serve()
        except BaseException:
            self.stop()
            raise

    def _open(self) -> None:
        try:
            self._engine.start()
            migrate(self.execute, self._settings.groups, retention_hours=self._settings.retention_hours)
            detached = int(self.execute("SELECT count() FROM system.detached_parts")[0][0])
        except RuntimeError as error:
            raise EnvironmentProblem(f"the store's engine cannot open {self._data_dir.path}: {error}") from error
        if detached:
            _log.error("store_detached_parts", parts=detached, detail="rows are missing: the engine set broken parts aside")

    def _serve(self) -> None:
        assert self._segment_dir is not None  # noqa: S101 - set before
        self._guard.drop_expired()
        self._guard.check()
        self._server = StoreServer(
            self._engine, self._settings.port, self._settings.secret, self._segment_dir,
            spare_dirs=_spare_dirs(self._settings), refuse_inserts=self._guard.refusal, about=self.about,
        )  # fmt: skip
        self.port = self._server.start()
        self._keeper.start()
        _log.info("store_ready", port=self.port, engine=self._version, data_dir=str(self._data_dir.path))

    def execute(self, sql: str) -> list[list[str]]:
        """Runs one statement with all rights and gives its rows as texts."""
        body = self._engine.write(sql).body.decode()
        return [line.split("\t") for line in body.splitlines()]

    def about(self) -> dict[str, Any]:
        """What clients are told of this store."""
        return {
            "embedded": True,
            "engine": self._version,
            "schema": SCHEMA_VERSION,
            "segment_dir": str(self._segment_dir),
            "retention_hours": self._settings.retention_hours,
            "refuses_writes": self._guard.problem,
            "partitions_dropped_for_space": self._guard.partitions_dropped,
        }

    def stop(self) -> None:
        """Answers what was asked, then closes the engine and gives the folder back."""
        self._stopping.set()
        if self._server is not None:
            self._server.stop()
        self._engine.stop()
        if self._segment_dir is not None and self._segment_dir.is_relative_to(SHARED_MEMORY):
            shutil.rmtree(self._segment_dir, ignore_errors=True)
        self._data_dir.release()

    def _keep(self) -> None:
        while not self._stopping.wait(SPACE_CHECK_S):
            try:
                self._guard.drop_expired()
                self._guard.check()
            except Exception:  # noqa: BLE001 - the guard must look again
                _log.exception("store_space_check_failed")


def run_store(settings: StoreSettings) -> None:
    """Runs the store until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    store = Store(settings)
    store.start()
    if settings.ready_fd >= 0:
        with os.fdopen(settings.ready_fd, "w", encoding="ascii") as stream:
            stream.write(f"{store.port}\n")
    while not stop.wait(1.0):
        pass
    _log.info("store_stopping")
    store.stop()


def _engine_version() -> str:
    try:
        import chdb  # noqa: PLC0415 - 0.3 s and 500 MB of library, only in this process
    except (ImportError, OSError) as error:
        raise EnvironmentProblem(
            f"the embedded store's engine cannot be loaded ({error}): install chdb-core 26.9 (glibc Linux, x86-64 or arm64)"
        ) from error
    return str(chdb.engine_version)


def _segment_dir(settings: StoreSettings) -> Path:
    """Makes the segment folder, empty: what a killed process left belongs to inserts that clients will repeat."""
    chosen = settings.segment_dir or _choose_segment_dir(settings.data_dir.resolve())
    if not guard.can_be_named(chosen.resolve()):
        raise EnvironmentProblem(
            f"the segment folder {chosen} has a quotation mark, bracket, comma or star in its name; give --segment-dir"
        )
    try:
        chosen.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Anybody may leave a link in shared memory, to a folder of ours that is not to be emptied.
        may_be_followed = chosen.lstat().st_uid in (os.geteuid(), 0)
        folder = chosen.resolve()
        ours = may_be_followed and folder.stat().st_uid == os.geteuid()
    except OSError as error:
        raise EnvironmentProblem(f"the segment folder {chosen} cannot be made: {error.strerror}; give --segment-dir") from error
    if not ours:
        raise EnvironmentProblem(f"the segment folder {chosen} belongs to somebody else; give --segment-dir")
    folder.chmod(0o700)
    _empty(folder)
    return folder


def _spare_dirs(settings: StoreSettings) -> tuple[Path, ...]:
    """On the store's disk, whose room is watched: for what finds none in shared memory. None where it cannot be named."""
    folder = settings.data_dir.resolve() / _SEGMENTS
    if not guard.can_be_named(folder):
        return ()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        _empty(folder)
    except OSError as error:  # a full disk as well: the store does without
        _log.warning("store_without_spare_folder", folder=str(folder), error=str(error.strerror))
        return ()
    return (folder,)


def _choose_segment_dir(data_dir: Path) -> Path:
    with contextlib.suppress(OSError):
        if os.access(SHARED_MEMORY, os.W_OK) and shutil.disk_usage(SHARED_MEMORY).total >= MIN_SHARED_MEMORY_BYTES:
            digest = hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]
            return SHARED_MEMORY / f"flowgauge-{os.geteuid()}-{digest}"
    return data_dir / _SEGMENTS


def _empty(folder: Path) -> None:
    for leftover in _files(folder):
        with contextlib.suppress(OSError):
            leftover.unlink()


def _files(folder: Path) -> Iterable[Path]:
    return [path for path in folder.iterdir() if path.is_file()]
