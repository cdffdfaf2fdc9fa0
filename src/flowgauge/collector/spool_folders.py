# SPDX-License-Identifier: Apache-2.0
"""Folders of the spool: one for each start of a process, locked while it runs, adopted when it has ended."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from flowgauge.collector import frames
from flowgauge.collector.notes import Notes
from flowgauge.collector.segments import Segment
from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import BY_NAME

_LEDGER = "ledger"
_FORMER_LEDGER = "ledger.json"
"""The same as earlier versions wrote it: the text alone."""
_LOCK = "lock"
_INSTANCE = re.compile(r"[^\s/]{1,200}@\d{1,20}")

_log = logs.get("collector")


class Folder:
    """A folder whose lock we hold.

    Attributes:
        counters: the instance's ledger, as it was noted last.
        acknowledged: token of the segment that the store took last.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self._lock, self._notes = path, lock, Notes(path / _LEDGER)
        self.instance = path.name
        self.counters: dict[str, int] = {}
        self.acknowledged = ""

    def note(self, counters: Mapping[str, int], acknowledged: str) -> None:
        """Keeps the ledger and the last acknowledgement; either all or nothing of it. OSError when it cannot be written."""
        self.acknowledged = acknowledged or self.acknowledged
        self._notes.put(json.dumps({"counters": counters, "acknowledged": self.acknowledged}).encode())

    def recall(self) -> None:
        """Reads what was noted; without it the counters of the instance are not known."""
        try:
            noted = json.loads(self._noted())
            self.counters = {name: int(value) for name, value in noted["counters"].items() if name in BY_NAME}
            self.acknowledged = str(noted["acknowledged"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, FileNotFoundError) and not any(self.path.glob("*.seg")):
                return  # it ended before it had anything to count
            _log.warning("spool_without_ledger", folder=str(self.path), error=str(error))

    def _noted(self) -> bytes:
        try:
            return self._notes.latest()
        except FileNotFoundError:
            return (self.path / _FORMER_LEDGER).read_bytes()

    def know(self, counters: Mapping[str, int]) -> None:
        """Counters of the instance that it told itself, perhaps later than it noted them; they never go back."""
        self.counters |= {name: max(value, self.counters.get(name, 0)) for name, value in counters.items()}

    def segments(self) -> list[Segment]:
        """The segments on disk, oldest first."""
        found: list[Segment] = []
        for path in sorted(self.path.glob("*.seg")):
            token = f"{self.instance}/{int(path.stem)}" if path.stem.isdigit() else ""
            with contextlib.suppress(OSError):
                segment = Segment(token, frames.rows_of(path), path, path.stat().st_size, sealed_at=1e-9)
                if token and segment.rows:
                    found.append(segment)
                else:
                    path.unlink()
        return found

    def remove(self) -> None:
        """Removes it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def release(self) -> None:
        """Gives the lock back; safe to call twice."""
        self._notes.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def make(root: Path, instance: str) -> Folder:
    """A new folder; EnvironmentProblem when it cannot be."""
    path = root / re.sub(r"[\s/]", "_", instance)
    try:
        path.mkdir(mode=0o700, parents=True)
        folder = _locked(path)
    except OSError as error:
        raise EnvironmentProblem(f"cannot make the spool {path}: {error.strerror}; choose another --data-dir") from error
    if folder is None:
        raise EnvironmentProblem(f"the spool {path} is another collector's")
    return folder


def adopt(root: Path, besides: Collection[str], acknowledged: set[str]) -> list[Folder]:
    """The folders whose processes have ended, in the order of their starts.

    Args:
        root: of the spool.
        besides: instances whose folders are not looked at: they are ours, or about to be locked.
        acknowledged: tokens of segments that the store took last before their collectors died, perhaps before the file could
            be removed; those of the folders are added. The folders' own files among them are removed.
    """
    found: list[Folder] = []
    paths = [path for path in root.iterdir() if path.name not in besides and _INSTANCE.fullmatch(path.name) and path.is_dir()]
    for path in sorted(paths, key=lambda one: int(one.name.rpartition("@")[2])):
        folder = None
        with contextlib.suppress(OSError):
            folder = _locked(path)
        if folder is not None:
            folder.recall()
            found.append(folder)
    by_instance = {folder.instance: folder for folder in found}
    acknowledged |= {folder.acknowledged for folder in found if folder.acknowledged}
    for token in acknowledged:
        instance, _, number = token.rpartition("/")
        if instance in by_instance and number.isdigit():
            (by_instance[instance].path / f"{int(number):010}.seg").unlink(missing_ok=True)
    return found


def in_use(root: Path, besides: Collection[str]) -> bool:
    """Whether somebody has locked a folder other than those of the instances ``besides``."""
    for path in root.iterdir():
        if path.name not in besides and _INSTANCE.fullmatch(path.name) and path.is_dir():
            folder = None
            with contextlib.suppress(OSError):
                folder = _locked(path)
                if folder is None:
                    return True
                folder.release()
    return False


def sync(path: Path) -> None:
    """Flushes a file or folder to the disk; one that is gone needs none."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write(descriptor: int, data: bytes, at: int) -> None:
    """Writes all of ``data`` behind the first ``at`` bytes, or nothing."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        os.ftruncate(descriptor, at)
        raise


def _locked(path: Path) -> Folder | None:
    """The folder with its lock; None when somebody else has it."""
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return Folder(path, lock)
