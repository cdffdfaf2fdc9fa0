# SPDX-License-Identifier: Apache-2.0
"""Signals that end a command."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

PROGRAM = """
import signal, threading
from flowgauge.runtime import signals
stop = threading.Event()
signals.on({signal.SIGTERM: stop.set, signal.SIGINT: stop.set})
print("ready", flush=True)
print("cleaned up" if stop.wait(60) else "nobody said so")
"""


def started(before: Callable[[], object] | None = None) -> subprocess.Popen[str]:
    running = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, preexec_fn=before  # noqa: PLW1509 - no threads here
    )  # fmt: skip
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    return running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_command_ends_in_order_also_when_its_terminal_is_closed(number: signal.Signals) -> None:
    with started() as running:
        running.send_signal(number)
        assert running.communicate(timeout=60)[0] == "cleaned up\n"
    assert running.returncode == 0


def test_one_that_shall_outlive_its_terminal_does() -> None:
    with started(lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as running:
        running.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(0.5)
        running.send_signal(signal.SIGTERM)
        assert running.communicate(timeout=60)[0] == "cleaned up\n"
