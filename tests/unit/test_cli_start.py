# SPDX-License-Identifier: Apache-2.0
"""A command that is interrupted while it begins or ends: without a word, 130 to a shell.

What Python imports is replaced by a module that sends the signal, so that it comes in the middle of an import.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from flowgauge import __version__

ROOT = Path(__file__).parents[2]
LAUNCHER = [str(ROOT / "flowgauge")]
MODULE, FUNCTION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["flowgauge"].split(":")
INSTALLED = [sys.executable, "-P", "-c", f"import sys; from {MODULE} import {FUNCTION} as it; sys.exit(it())"]
"""What an installed ``flowgauge`` is."""

SENDS = "import os, time; os.kill(os.getpid(), {}); time.sleep(20)"
SENDS_AT_EXIT = "import atexit, os; atexit.register(os.kill, os.getpid(), {})"


def run(command: list[str], modules: Path, before: Callable[[], object] | None = None) -> tuple[int, str, str]:
    """The status as a shell tells it, and what the command prints on its two streams."""
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(modules)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env, preexec_fn=before)
    return done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize(
    ("entry", "imported"),
    [
        pytest.param(LAUNCHER, "sitecustomize", id="launcher, Python's own"),
        pytest.param(LAUNCHER, "typer", id="launcher, the command line's"),
        pytest.param(LAUNCHER, "numpy", id="launcher, a verb's"),
        pytest.param(INSTALLED, "typer", id="installed, the command line's"),
        pytest.param(INSTALLED, "numpy", id="installed, a verb's"),
    ],
)
def test_a_signal_while_a_module_is_imported(entry: list[str], imported: str, number: int, status: int, tmp_path: Path) -> None:
    (tmp_path / f"{imported}.py").write_text(SENDS.format(int(number)))
    assert run([*entry, "decode", "/dev/null"], tmp_path) == (status, "", "")


@pytest.mark.parametrize("entry", [LAUNCHER, INSTALLED], ids=["launcher", "installed"])
def test_a_signal_while_python_exits(entry: list[str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SENDS_AT_EXIT.format(int(signal.SIGINT)))
    assert run([*entry, "--version"], tmp_path) == (130, f"flowgauge {__version__}\n", "")


@pytest.mark.parametrize("entry", [LAUNCHER, INSTALLED], ids=["launcher", "installed"])
def test_ctrl_c_that_a_script_keeps_from_its_background_stays_away(entry: list[str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SENDS_AT_EXIT.format(int(signal.SIGINT)))
    printed = run([*entry, "--version"], tmp_path, lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert printed == (0, f"flowgauge {__version__}\n", "")
