# SPDX-License-Identifier: Apache-2.0
"""One run: a collector is started, greeted with templates, sent flows, waited for until it is done, and asked what it got."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rivals_kit.collectors import BUFFER_BYTES, Collector
from rivals_kit.inputs import Input
from rivals_kit.processes import children_cpu_s, cpu_s, default_buffer, drops, peak_mib, queued_bytes
from rivals_kit.sender import Order, Sender

START_S, END_S = 20.0, 120.0
"""How long a collector may take until it listens, and until it is done with what it was sent."""
GREETING_PER_S = 200
_LOOK_S, _QUIET_S, _QUIET_CPU_S = 0.05, 0.4, 0.003
"""A collector that uses less CPU than this in each look, with nothing in its buffer, for so long, is done."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run showed.

    Attributes:
        at_limit: whether as many were sent as were taken (or nearly), rather than a rate that was asked for.
        offered_per_s: that rate.
        sent, got: flows, the latter by the collector's own count.
        dropped: datagrams that the kernel dropped.
        cpu_s: of the collector and its children, from after the greeting until it was done.
        seconds: from the first datagram to when it was done.
        peak_mib: its memory at most.
        complaint: what it says to have lost.
    """

    collector: str
    kind: str
    at_limit: bool
    offered_per_s: float
    sent: int
    got: int
    dropped: int
    cpu_s: float
    seconds: float
    peak_mib: int
    complaint: str

    @property
    def per_million(self) -> float:
        """CPU seconds per million flows."""
        return self.cpu_s / max(1, self.got) * 1e6

    @property
    def flaw(self) -> str:
        """Why it was not lossless, or empty."""
        missing = f"{self.sent - self.got:,} of {self.sent:,} flows missing" if self.got != self.sent else ""
        dropped = f"{self.dropped:,} datagrams dropped by the kernel" if self.dropped else ""
        return ", ".join(filter(None, (missing, dropped, self.complaint)))


class NotStartedError(Exception):
    """A collector did not come up."""


def run(kind: type[Collector], given: Input, sender: Sender, flows: int, per_s: float, *, at_limit: bool = False) -> Run:
    """Sends about ``flows`` flows to a new collector; ``per_s`` flows a second, 0: as many as it takes."""
    stop = given.greeting + given.upto(flows)
    sent = int(given.flows[given.greeting : stop].sum())
    with tempfile.TemporaryDirectory(prefix="flowgauge-bench-") as folder, ExitStack() as stack:
        with default_buffer(BUFFER_BYTES):
            collector = kind(Path(folder), given.name)
            process = stack.enter_context(started(collector))
        sender.send(Order(collector.port, 0, given.greeting, GREETING_PER_S, together=1))
        time.sleep(0.3)
        before = cpu_s(process.pid)
        begin = time.monotonic()
        datagrams_per_s = per_s * (stop - given.greeting) / sent
        sender.send(Order(collector.port, given.greeting, stop, datagrams_per_s, collector.buffer_bytes))
        done_at = until_quiet(process.pid, collector.port)
        spent, dropped, memory = cpu_s(process.pid) - before, drops(collector.port), peak_mib(process.pid)
        if collector.counts_at_end:
            at_its_end = ended(process, collector) - before
            spent = at_its_end if collector.works_at_end else spent
        got = collector.flows() - int(given.flows[: given.greeting].sum())
        return Run(collector.name, given.name, at_limit, per_s, sent, got, dropped, spent, done_at - begin, memory,
                   collector.complaint())  # fmt: skip


@contextmanager
def started(collector: Collector) -> Iterator[subprocess.Popen[bytes]]:
    """The collector's process, listening; ended at the end, with its children."""
    log = collector.folder / "log"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with log.open("wb") as output:
        process = subprocess.Popen(
            collector.command(), stdout=output, stderr=output, cwd=collector.folder, env=environment, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_S
        while not collector.listens():
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotStartedError(f"{collector.name} did not start: {log.read_text(errors='replace')[-400:].strip()}")
            time.sleep(0.05)
        time.sleep(0.5)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until_quiet(pid: int, port: int) -> float:
    """Waits until a collector has nothing more to do; when that was, by the monotonic clock."""
    deadline = time.monotonic() + END_S
    busy_at, spent = time.monotonic(), cpu_s(pid)
    while (now := time.monotonic()) < deadline and now - busy_at < _QUIET_S:
        time.sleep(_LOOK_S)
        latest = cpu_s(pid)
        if latest - spent > _QUIET_CPU_S or queued_bytes(port):
            busy_at = time.monotonic()
        spent = latest
    return busy_at


def ended(process: subprocess.Popen[bytes], collector: Collector) -> float:
    """Tells it to end; the CPU seconds of its whole life."""
    before = children_cpu_s()
    process.send_signal(collector.stop_signal)
    process.wait(END_S)
    return children_cpu_s() - before
