# SPDX-License-Identifier: Apache-2.0
"""For tests: ``flowgauge collect`` as a process of its own."""

from __future__ import annotations

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
