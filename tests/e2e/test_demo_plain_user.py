# SPDX-License-Identifier: Apache-2.0
"""`flowgauge demo` by somebody who is not root: the same story in a user namespace; one sentence where that is forbidden."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo_kit import ENDS_WITHIN_S, FLOWGAUGE, TIMELY, Demo
from flowgauge.demo.plain_user import MISSING

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.tool("ip", "nft", "dnsmasq", "initdb", "unshare")]

USER = pwd.getpwnam("nobody")
AS_USER = ["setpriv", f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}", "--clear-groups", "--"]
ROOT = FLOWGAUGE.parent


def reachable(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def command(place: Path) -> list[str]:
    """The command line, run by a Python that the user may run, on this checkout."""
    if not reachable(ROOT / "src"):
        pytest.skip("other users cannot read this checkout")
    python = Path(sys.executable).resolve()
    if not reachable(python):
        python = Path("/usr/bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    if not python.exists():
        pytest.skip("other users cannot run this Python")
    # A virtual environment of that Python with the packages of ours.
    (place / "bin").mkdir()
    (place / "bin/python").symlink_to(python)
    (place / "lib").symlink_to(Path(sysconfig.get_path("purelib")).parents[1])
    (place / "pyvenv.cfg").write_text(f"home = {python.parent}\n")
    return [*AS_USER, str(place / "bin/python"), "-P", "-m", "flowgauge.cli.main"]


@pytest.fixture
def demo(command: list[str], place: Path) -> Iterator[Demo]:
    state = place / "state"
    state.mkdir()
    os.chown(state, USER.pw_uid, USER.pw_gid)
    running = Demo(state, "--for", "40s", "--report", str(state / "report.json"), command=command)
    yield running
    running.close()


def test_a_plain_user_sees_the_same_story_and_what_is_missing(demo: Demo, command: list[str]) -> None:
    found = demo.await_running()
    with urllib.request.urlopen(f"{found['console_url']}/", timeout=60) as page:  # noqa: S310 - loopback
        assert page.status == 200
    capture = [*command, "capture", "port = 5432", "--for", "2s", "-w", "-"]
    captured = subprocess.run(capture, env=demo.env, capture_output=True, check=False, timeout=60)
    assert (captured.returncode, captured.stdout[:4]) == (0, b"\n\r\r\n"), captured.stderr
    assert demo.process.wait(ENDS_WITHIN_S) in (0, 1), demo.said()
    report = json.loads((demo.state / "report.json").read_text())
    assert [check["name"] for check in report["checks"] if not check["held"] and check["name"] not in TIMELY] == []
    assert f"note: {MISSING}" in demo.said()
    assert "Traceback" not in demo.said()
    assert not [path for path in demo.state.iterdir() if path.name not in ("output", "report.json")]


def test_where_user_namespaces_are_forbidden_one_sentence_says_so(tmp_path: Path) -> None:
    enter = "from flowgauge.demo import plain_user; plain_user.enter(['demo'], console_port=0, clicks_port=0)"
    forbid = 'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", sys.executable, "-c", enter],
        capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "FLOWGAUGE_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    said = done.stderr.strip().splitlines()[-1]
    assert "user namespaces, which this machine does not give to plain users" in said
    assert "sysctl user.max_user_namespaces is 0" in said
    assert "nothing was started" in said
    assert not [*tmp_path.iterdir()]
