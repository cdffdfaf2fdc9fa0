# SPDX-License-Identifier: Apache-2.0
"""The embedded store's folder: who holds it, which engine wrote it, whether this machine can run the engine.

The engine's own message for a second process is empty, and an older engine silently drops what a newer one wrote: both are
caught here, before the engine is loaded.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import IO

from flowgauge.errors import EnvironmentProblem

_LOCK = "lock"
_MARKER = "engine.json"
ENGINE_FOLDER = "engine"


def check_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """EnvironmentProblem where the engine would die of an illegal instruction: x86 without AVX2."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), None)
    if flags is not None and "avx2" not in flags:
        raise EnvironmentProblem(
            "the embedded store needs a CPU with AVX2, which this one lacks; set storage.type to ClickHouse and give the "
            "address of a server"
        )


class DataDir:
    """A data directory, held by this process between ``acquire`` and ``release``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def engine_path(self) -> Path:
        """What belongs to the engine."""
        return self.path / ENGINE_FOLDER

    def acquire(self) -> None:
        """Takes the lock; EnvironmentProblem that names the holder, or says why the folder cannot be used."""
        try:
            self.engine_path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.path / _LOCK).open("a+", encoding="utf-8")
        except OSError as error:
            raise EnvironmentProblem(f"the store's folder {self.path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            lock.close()
            raise EnvironmentProblem(
                f"the store's folder {self.path} is in use by {holder}; stop that, or choose another --data-dir"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} ({_command()})\n")
        lock.flush()
        self._lock = lock

    def check_engine(self, version: str) -> None:
        """Refuses an engine older than the one that wrote the folder, and leaves this one's mark."""
        marker = self.path / _MARKER
        written = _written_by(marker)
        if written and _numbers(version) < _numbers(written):
            raise EnvironmentProblem(
                f"the store's folder {self.path} was written by engine {written}; this one is {version} and would lose rows: "
                f"install chdb-core {'.'.join(written.split('.')[:2])} or newer"
            )
        if written != version:
            draft = marker.with_suffix(".tmp")
            draft.write_text(json.dumps({"engine": version}), encoding="utf-8")
            draft.replace(marker)

    def release(self) -> None:
        """Gives the lock back; safe to call twice."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _command() -> str:
    raw = Path("/proc/self/cmdline").read_bytes()
    return " ".join(raw.decode(errors="replace").split("\0")).strip()


def _written_by(marker: Path) -> str:
    try:
        return str(json.loads(marker.read_text(encoding="utf-8"))["engine"])
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError) as error:
        raise EnvironmentProblem(f"the store's marker {marker} cannot be read ({error}); restore or remove it") from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
