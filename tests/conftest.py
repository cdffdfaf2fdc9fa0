# SPDX-License-Identifier: Apache-2.0
"""What a test needs is a marker; what this machine lacks is a skip that says so."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Our programs shall print as they do for users, whose output waits in a buffer behind a pipe.
os.environ.pop("PYTHONUNBUFFERED", None)

# And end with their terminal or by Ctrl-C, also where neither shall end the tests (``nohup``, a script's background): they
# inherit what is ignored, but no handler.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

CHROMIUM = "/usr/bin/chromium"
OF_THIS_MACHINE = ("root", "bpf", "browser", "tool", "slow")
"""Markers of tests that share clocks, processors and kernel tables with whatever else runs."""


def _loads_bpf() -> bool:
    """Whether the kernel takes a two-instruction program from us (bpf(2), BPF_PROG_LOAD)."""
    from flowgauge.ebpf.bpf_syscall import probe_load

    return probe_load()


def _lacking(item: pytest.Item) -> str:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        return "needs root"
    if item.get_closest_marker("bpf"):
        if os.geteuid() != 0:
            return "needs root to load eBPF programs"
        if not _loads_bpf():
            return "this kernel refuses eBPF programs"
    if item.get_closest_marker("browser") and not shutil.which(CHROMIUM):
        return f"no browser at {CHROMIUM}"
    for marker in item.iter_markers("tool"):
        absent = [name for name in marker.args if not shutil.which(name)]
        if absent:
            return f"not installed: {', '.join(absent)}"
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    if reason := _lacking(item):
        pytest.skip(reason)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In CI, what fails on the real machine is run once more; a ``RERUN`` in the summary is still a fault to be found."""
    if os.environ.get("CI"):
        for item in items:
            if any(item.get_closest_marker(name) for name in OF_THIS_MACHINE):
                item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=5))
