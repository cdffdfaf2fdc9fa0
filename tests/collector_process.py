# SPDX-License-Identifier: Apache-2.0
"""For tests: ``flowgauge collect`` as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from flowgauge.run.part import free_port, secret_pipe
from store_kit import SECRET, StoreProcess


class Command:
    """``flowgauge collect`` with the store's address and secret, and a data folder below ``folder``."""

    def __init__(self, store: StoreProcess, folder: Path, *arguments: str, secret: str = SECRET) -> None:
        self.http = free_port()
        self.data_dir = folder / "data"
        descriptor = secret_pipe(secret)
        argv = [sys.executable, "-m", "flowgauge.cli.main", "collect", "--store-url", store.url, "--store-secret-fd",
                str(descriptor), "--http-port", str(self.http), "--data-dir", str(self.data_dir), *arguments]  # fmt: skip
        self._log = folder / f"collect-{self.http}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(argv, stderr=log, pass_fds=(descriptor,))
        os.close(descriptor)

    def until_ready(self) -> None:
        """Waits; a busy machine takes its time to start several interpreters."""
        deadline = time.monotonic() + 120
        while True:
            try:
                self.get("/readyz")
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None, self.log()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return

    def get(self, path: str) -> str:
        """The answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=60) as answer:
            return str(answer.read().decode())

    def counters(self) -> dict[str, int]:
        """Its own ledger."""
        found: list[dict[str, Any]] = json.loads(self.get("/api/v1/ledger"))["components"]
        return dict(found[0]["counters"])

    def until_counted(self, name: str, value: int) -> None:
        """Waits until a counter is at least ``value``."""
        deadline = time.monotonic() + 90
        while self.counters().get(name, 0) < value:
            assert time.monotonic() < deadline, self.counters()
            time.sleep(0.05)

    def until_at_rest(self) -> None:
        """Waits until no thread of its processes has anything to do: what they counted as decoded is on disk then."""
        deadline, looks = time.monotonic() + 90, 0
        while looks < 5:
            looks = looks + 1 if all(map(_asleep, [self.process.pid, *children(self.process.pid)])) else 0
            assert time.monotonic() < deadline, "at work all the time"
            time.sleep(0.01)

    def until_logged(self, event: str) -> None:
        """Waits until it says so."""
        deadline = time.monotonic() + 60
        while f'"{event}"' not in self.log():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(encoding="utf-8")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Exit status and log."""
        self.process.send_signal(number)
        return self.process.wait(60), self.log()

    def kill(self) -> None:
        """As kill -9."""
        self.process.kill()
        self.process.wait()


def children(pid: int) -> list[int]:
    """Process ids of the processes that a process started and that run (proc(5), task/TID/children)."""
    listed = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    return sorted(int(child) for text in listed for child in text.split())


def _asleep(pid: int) -> bool:
    """Whether all threads of a process wait for something (proc(5), stat: S)."""
    states = []
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # ended meanwhile
            states.append(task.read_text().rpartition(")")[2].split()[0])
    return set(states) == {"S"}
