# SPDX-License-Identifier: Apache-2.0
"""What a scene has made, written down before it is made: after ``kill -9`` the next run unmakes it.

One file of JSON lines per scene below the runtime folder. Its first line names the owner, a process id with its start time,
because ids are reused. Used by one thread at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

from flowgauge.demo.scene import cgroups
from flowgauge.runtime import instance, linux

_PATTERN = "scene-*.journal"
_PART_ENDS_WITHIN_S = 5.0


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot (proc(5), stat field 22); 0 when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])


class Journal:
    """The list of what one scene made.

    Args:
        path: the file; made with the owner's line when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            self._append("owner", [os.getpid(), start_time(os.getpid())])

    @classmethod
    def create(cls, scene_id: str) -> Journal:
        """The journal of a new scene, in the caller's runtime folder."""
        return cls(instance.user_dir() / f"scene-{scene_id}.journal")

    def netns(self, name: str) -> None:
        """A network namespace is about to be made."""
        self._append("netns", name)

    def cgroup(self, path: Path) -> None:
        """A cgroup is about to be made; what is below it goes with it."""
        self._append("cgroup", str(path))

    def folder(self, path: Path) -> None:
        """A temporary folder is about to be made."""
        self._append("folder", str(path))

    def process(self, pid: int) -> None:
        """A process was started."""
        self._append("process", [pid, start_time(pid)])

    def part(self, pid: int) -> None:
        """A part of Flowgauge was started, which ends by itself when its supervisor does; it gets a moment to do so."""
        self._append("part", [pid, start_time(pid)])

    def undo(self) -> None:
        """Removes everything on the list, processes first, then the list. What is already gone is no error."""
        entries = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
        made: dict[str, list[object]] = {kind: [value for key, value in entries if key == kind] for kind, _ in entries}
        _kill(made.get("process", []))
        _await_end(made.get("part", []))
        _kill(made.get("part", []))
        for path in made.get("cgroup", []):
            cgroups.remove(Path(str(path)))
        for name in made.get("netns", []):
            linux.delete_netns(str(name))
        for folder in made.get("folder", []):
            shutil.rmtree(str(folder), ignore_errors=True)
        self.path.unlink(missing_ok=True)

    def owner_lives(self) -> bool:
        """Whether the process that began this journal still runs."""
        first = self.path.read_text(encoding="utf-8").partition("\n")[0]
        try:
            _, (pid, started) = json.loads(first)
        except (ValueError, TypeError):
            return False
        return bool(started) and start_time(pid) == started

    def _append(self, kind: str, value: object) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps([kind, value]) + "\n")


def _alive(processes: list[object]) -> list[int]:
    """Those of ``processes``, each [pid, start time], that still run."""
    pairs = (value for value in processes if isinstance(value, list))
    return [pid for pid, started in pairs if started and start_time(pid) == started]


def _kill(processes: list[object]) -> None:
    for pid in _alive(processes):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _await_end(processes: list[object]) -> None:
    deadline = time.monotonic() + _PART_ENDS_WITHIN_S
    while _alive(processes) and time.monotonic() < deadline:
        time.sleep(0.05)


def sweep() -> int:
    """Undoes every journal whose owner is gone; how many there were."""
    abandoned = [Journal(path) for path in instance.user_dir().glob(_PATTERN)]
    abandoned = [journal for journal in abandoned if not journal.owner_lives()]
    for journal in abandoned:
        journal.undo()
    return len(abandoned)
