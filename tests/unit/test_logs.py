# SPDX-License-Identifier: Apache-2.0
"""Lines of the log, for programs and for people."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowgauge.runtime import logs


@pytest.fixture(autouse=True)
def _defaults_afterwards() -> object:
    yield
    logs.configure("info")


def test_a_line_for_programs_is_json_with_part_event_level_and_utc_time(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", json=True)
    logs.get("agent").info("agent_ready", node="n 1", attached={"eth0": "tcx"}, where=b"raw")
    line = json.loads(capsys.readouterr().err)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "part": "agent", "node": "n 1", "attached": {"eth0": "tcx"}, "where": "b'raw'", "event": "agent_ready", "level": "info"
    }  # fmt: skip


def test_a_line_for_people_quotes_what_would_be_misread(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", json=False)
    logs.get("agent").warning("odd", name="two words", plain="eth0", control="a\x1b[31m\nb")
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "'two words'" in text
    assert "'eth0'" not in text
    assert "\\x1b[31m\\nb" in text, "what comes from outside moves no cursor and makes no line"


def test_the_level_can_change_for_loggers_that_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    log = logs.get("agent")
    for level, expected in (("error", []), ("warning", ["w"]), ("debug", ["d", "i", "w"])):
        logs.configure(level, json=True)
        log.debug("d")
        log.info("i")
        log.warning("w")
        assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == expected


@pytest.mark.parametrize("as_json", [True, False])
def test_an_exception_is_told_with_where_it_happened(capsys: pytest.CaptureFixture[str], *, as_json: bool) -> None:
    logs.configure("info", json=as_json)
    try:
        int("wrong")
    except ValueError as error:
        logs.get("agent").exception("failed")
        logs.get("agent").error("failed", exc_info=error)
    text = capsys.readouterr().err
    assert text.count("ValueError: invalid literal") == 2
    assert text.count("test_logs.py") == 2


def test_work_goes_on_when_nobody_reads_the_log_any_more() -> None:
    program = (
        "from flowgauge.runtime import logs\nimport sys\nlogs.configure('info')\n"
        "sys.stdin.readline()\n[logs.get('agent').info('line', n=n) for n in range(3)]\nprint('went on')"
    )
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=write, text=True
    ) as running:
        os.close(write)
        os.close(read)
        assert running.communicate("go\n", timeout=60)[0] == "went on\n"
        assert running.returncode == 0


@pytest.mark.root
@pytest.mark.slow
def test_a_log_on_a_full_disk_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=True)
    program = (
        "from flowgauge.runtime import logs\nimport sys\nlogs.configure('info')\n"
        "for n, _ in enumerate(sys.stdin):\n    logs.get('agent').info('line', n=n, long='x' * 4000)\n    print(n, flush=True)"
    )
    try:
        (disk / "ballast").write_bytes(bytes(48 << 10))
        with (
            (disk / "log").open("wb") as log,
            subprocess.Popen(
                [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            ) as running,
        ):
            assert running.stdin is not None
            assert running.stdout is not None
            for number in range(20):
                if number == 19:
                    (disk / "ballast").unlink()
                running.stdin.write(b"\n")
                running.stdin.flush()
                assert running.stdout.readline() == b"%d\n" % number
            running.stdin.close()
        numbers = [json.loads(line)["n"] for line in (disk / "log").read_text().splitlines()]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert numbers[-1] == 19
    assert len(numbers) < 20, "the disk was full"


def test_a_screen_that_takes_texts_only_gets_them() -> None:
    logs.configure("info", json=False)
    screen = io.StringIO()
    with contextlib.redirect_stderr(screen):
        logs.get("agent").warning("odd", n=1)
    assert "odd" in screen.getvalue()


def test_what_is_logged_can_be_captured_instead() -> None:
    logs.configure("error")
    with logs.captured() as lines:
        logs.get("agent").debug("quiet", n=1)
    assert [(line["event"], line["level"], line["n"]) for line in lines] == [("quiet", "debug", 1)]
