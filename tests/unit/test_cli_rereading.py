# SPDX-License-Identifier: Apache-2.0
"""SIGHUP asks for the document to be read again, except where it comes from a terminal that was closed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PART = """
from flowgauge.cli.rereading import until_told
stop, changes = until_told("collector", lambda: "settings")
print("ready", flush=True)
try:
    print(changes.get(timeout=60), flush=True)
except Exception:
    print("nothing", flush=True)
print("stopped" if stop.wait(60) else "goes on", flush=True)
"""
RUN = """
from flowgauge.run.main import _Signals
signals = _Signals()
print("ready", flush=True)
print("settings" if signals.reread.wait(60) else "nothing", flush=True)
print("stopped" if signals.stop.wait(60) else "goes on", flush=True)
"""
LEVEL = """
import signal, sys, tempfile, threading, time
from pathlib import Path
from flowgauge.cli.log_level import follow
from flowgauge.runtime import logs
document = Path(tempfile.mkdtemp(dir=sys.argv[1])) / "flowcollector.yaml"
document.write_text("spec: {logLevel: info}")
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
follow("store", document, "")
document.write_text("spec: {logLevel: debug}")
print("ready", flush=True)
while logs._output.level != logs.LEVELS["debug"]:
    time.sleep(0.01)
print("settings", flush=True)
print("stopped" if stop.wait(60) else "goes on", flush=True)
"""


@pytest.fixture(params=[PART, RUN, LEVEL], ids=["part", "run", "level"])
def started(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process on a terminal of its own, and the other end of that."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", request.param, str(tmp_path)], stdin=its, stdout=subprocess.PIPE, text=True
    )
    os.close(its)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process, ours
    finally:
        process.kill()
        process.communicate()


def test_a_closed_terminal_ends_what_sighup_made_read_its_document_again(started: tuple[subprocess.Popen[str], int]) -> None:
    process, terminal = started
    assert process.stdout is not None
    process.send_signal(signal.SIGHUP)
    assert process.stdout.readline() == "settings\n"
    os.close(terminal)
    process.send_signal(signal.SIGHUP)
    assert process.stdout.readline() == "stopped\n"
