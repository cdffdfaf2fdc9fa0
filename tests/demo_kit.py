# SPDX-License-Identifier: Apache-2.0
"""Runs the demo as its user does, in a state folder of its own, and knows what it made, so that tests can see it all go."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flowgauge.demo.scene.journal import start_time

FLOWGAUGE = Path(__file__).parents[1] / "flowgauge"
READY_WITHIN_S = 150.0
ENDS_WITHIN_S = 300.0
"""Its last acts, the last flows and its checks; under ten times its load a machine takes minutes."""
FAULT_ENDS_WITHIN_S = 60.0
TIMELY = frozenset({"first named flow", "a click becomes a named flow", "a flow is visible soon after its last packet"})
"""Checks of a demo that only a busy machine does not pass."""


@dataclass
class Made:
    """What a scene's journal says it made, and the eBPF programs its agents loaded."""

    namespaces: list[str]
    cgroups: list[str]
    folders: list[str]
    processes: list[tuple[int, int]]
    programs: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, journals: str) -> Made:
        entries = [json.loads(line) for line in journals.splitlines()]
        values = {kind: [value for key, value in entries if key == kind] for kind, _ in entries}
        processes = [tuple(pair) for kind in ("process", "part") for pair in values.get(kind, [])]
        return cls(values.get("netns", []), values.get("cgroup", []), values.get("folder", []), processes)

    def left(self) -> list[str]:
        """What of it is still there."""
        present = [f"namespace {name}" for name in self.namespaces if Path("/run/netns", name).exists()]
        present += [path for path in [*self.cgroups, *self.folders] if Path(path).exists()]
        present += [f"process {pid}: {_command(pid)}" for pid, started in self.processes if _runs(pid, started)]
        loaded = _loaded_programs()
        return present + [f"eBPF program {number}" for number in self.programs if number in loaded]


class Demo:
    """``flowgauge demo`` as a process."""

    def __init__(self, state: Path, *options: str, command: Sequence[str] = (str(FLOWGAUGE),)) -> None:
        self.state = state
        self.env = {**os.environ, "FLOWGAUGE_RUNTIME_DIR": str(state)}
        self.output = state / "output"
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "demo", *options], env=self.env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def await_running(self) -> dict[str, Any]:
        """The state file, once this demo has published it."""
        self.wait_for(lambda: self.instance().get("pid") == self.process.pid, "running", READY_WITHIN_S)
        return self.instance()

    def instance(self) -> dict[str, Any]:
        """The state file now; empty when there is none. The wrapper becomes the demo, so that its process is ours."""
        try:
            found: dict[str, Any] = json.loads((self.state / "instance.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def wait_for(self, done: Callable[[], bool], what: str, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not done():
            assert self.process.poll() is None, f"the demo ended:\n{self.said()}"
            assert time.monotonic() < deadline, f"not {what} after {within_s:.0f} s:\n{self.said()}"
            time.sleep(0.1)

    def said(self) -> str:
        return self.output.read_text()

    def made(self) -> Made:
        """What the scene has made until now."""
        made = Made.of("".join(path.read_text() for path in self.state.glob("scene-*.journal")))
        made.programs = sorted({number for pid, _ in made.processes for number in _held_programs(pid)})
        return made

    def part(self, verb: str, *words: str) -> int:
        """The process id of a part, by its command line; 0 while it does not run."""
        for pid, started in reversed(self.made().processes):
            command = _command(pid)
            if _runs(pid, started) and f"flowgauge.cli.main {verb} " in command and all(word in command for word in words):
                return pid
        return 0

    def api(self, path: str, **params: str) -> Any:
        """The JSON that the console's API answers."""
        url = f"{self.instance()['console_url']}/api/v1/{path}?{urlencode(params)}"
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own console
            return json.load(answer)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another ``flowgauge`` command beside the demo."""
        return subprocess.run(
            [str(FLOWGAUGE), *arguments], env=self.env, capture_output=True, text=True, check=False, timeout=60
        )

    def stop(self, how: signal.Signals = signal.SIGTERM, within_s: float = ENDS_WITHIN_S) -> int:
        """Its exit status after a signal."""
        self.process.send_signal(how)
        return self.process.wait(within_s)

    def close(self) -> None:
        """For fixtures: ends it whatever state it is in."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Fault:
    """``flowgauge demo fault KIND`` as a process, until ``end``."""

    def __init__(self, demo: Demo, kind: str) -> None:
        self.process = subprocess.Popen(
            [str(FLOWGAUGE), "demo", "fault", kind], env=demo.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit status and what it said after the first line."""
        self.process.send_signal(how)
        rest, _ = self.process.communicate(timeout=FAULT_ENDS_WITHIN_S)
        return self.process.returncode, rest


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").replace("\0", " ")
    except OSError:
        return ""


def _runs(pid: int, started: int) -> bool:
    """Whether that very process runs; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return bool(started) and start_time(pid) == started and state != "Z"


def _held_programs(pid: int) -> set[int]:
    """Ids of the eBPF programs that a process holds by a descriptor (proc_pid_fdinfo(5): ``prog_id``)."""
    texts = []
    for info in Path(f"/proc/{pid}/fdinfo").glob("*"):
        with contextlib.suppress(OSError):
            texts.append(info.read_text())
    return {int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("prog_id:")}


def _loaded_programs() -> set[int]:
    done = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, text=True, check=True)
    return {entry["id"] for entry in json.loads(done.stdout)}
