# SPDX-License-Identifier: Apache-2.0
"""For tests: the embedded store as a real process, and batches of flows that end about now.

Never dates of the past: the store drops what is older than its retention the moment it is written.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch, absent_column, definition
from flowgauge.flow.names import Names
from flowgauge.schema.columns import BY_NAME
from flowgauge.schema.filters.tree import OneOf
from flowgauge.schema.flow_query import Window
from flowgauge.store.opening import open_store
from flowgauge.store.store import FlowStore

SECRET = "a secret for tests"
_PROGRAM = "import typer; from flowgauge.cli.store import store; typer.run(store)"


class StoreProcess:
    """``flowgauge store`` over ``data_dir``, on a port that stays the same over restarts."""

    def __init__(self, data_dir: Path, *options: str, secret: str = SECRET) -> None:
        self.data_dir, self.options, self.secret, self.port = data_dir, options, secret, 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> StoreProcess:
        """Starts it and waits until it serves."""
        self._process, ready = self._spawn()
        with os.fdopen(ready) as stream:
            line = stream.read()
        assert line, f"the store ended with status {self._process.wait()}"
        self.port = int(line)
        return self

    def _spawn(self) -> tuple[subprocess.Popen[bytes], int]:
        secret_read, secret_write = os.pipe()
        os.write(secret_write, self.secret.encode())
        os.close(secret_write)
        ready_read, ready_write = os.pipe()
        argv = [sys.executable, "-c", _PROGRAM, "--data-dir", str(self.data_dir), "--port", str(self.port),
                "--secret-fd", str(secret_read), "--ready-fd", str(ready_write), *self.options]  # fmt: skip
        process = subprocess.Popen(argv, pass_fds=(secret_read, ready_write), start_new_session=True)
        os.close(secret_read)
        os.close(ready_write)
        return process, ready_read

    def kill(self) -> None:
        """As kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """As a supervisor does, or by another signal; its exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(60)

    def open(self, **options: float) -> FlowStore:
        """A client with all rights."""
        return open_store(self.url, self.secret, **options)  # type: ignore[arg-type]

    def sql(self, text: str) -> None:
        """Runs a statement, as an earlier version or an administrator would."""
        request = urllib.request.Request(self.url, text.encode(), {"X-ClickHouse-Key": self.secret})  # noqa: S310
        urllib.request.urlopen(request).close()  # noqa: S310


@contextlib.contextmanager
def running_store(data_dir: Path, *options: str) -> Iterator[StoreProcess]:
    """A store process that is stopped at the end, whatever happened to it."""
    process = StoreProcess(data_dir, *options).start()
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.stop()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def last(seconds: float = 120) -> Window:
    """The window up to now, and a little further: tests write flows that end now."""
    end = now_ms() + 1000
    return Window(end - round(seconds * 1000), end)


def in_namespace(name: str) -> OneOf:
    """The filter ``src_namespace = name``: each test has a namespace of its own in a shared store."""
    return OneOf(BY_NAME["src_namespace"], (name,))


def flows(namespace: str, rows: int = 4, *, owners: Sequence[str] = ("web",), ended_ms: int | None = None,
          **columns: int | Sequence[int] | Sequence[str]) -> FlowBatch:  # fmt: skip
    """A normalised batch: TCP to postgresql:5432, 100 bytes in 1 packet each, seen completely, ended now.

    ``owners`` are dealt out in turn; ``columns`` are physical columns, one value for all rows or one each.
    """
    given: dict[str, int | Sequence[int] | Sequence[str]] = {
        "time_end_ms": now_ms() if ended_ms is None else ended_ms, "duration_ms": 0, "src_port": 40000, "dst_port": 5432,
        "proto": 6, "bytes": 100, "packets": 1, "sampling_rate": 1, "duplicate_of": 0, "rtt_avg_us": 0, "ip_tos": 0,
    } | columns  # fmt: skip
    batch = FlowBatch({
        "src_addr": from_texts([f"10.0.{row // 250}.{row % 250 + 1}" for row in range(rows)]),
        "dst_addr": from_texts(["2001:db8::1"] * rows),
        "src_namespace": Names.constant(namespace, rows),
        "src_owner": Names.from_strings([owners[row % len(owners)] for row in range(rows)]),
        "dst_owner": Names.constant("postgresql", rows),
    })  # fmt: skip
    return batch.with_columns({name: _column(name, value, rows) for name, value in given.items()})


def named(batch: FlowBatch, **names: str) -> FlowBatch:
    """The flows, all with these names."""
    return batch.with_columns({name: Names.constant(text, len(batch)) for name, text in names.items()})


def _column(name: str, value: int | Sequence[int] | Sequence[str], rows: int) -> np.ndarray | Names:
    pattern = absent_column(definition(name), rows)
    values = list(value) if not isinstance(value, int) else [value] * rows
    if isinstance(pattern, Names):
        return Names.from_strings([str(text) for text in values])
    return np.array(values, pattern.dtype)
