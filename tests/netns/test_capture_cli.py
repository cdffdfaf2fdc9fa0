# SPDX-License-Identifier: Apache-2.0
"""``flowgauge capture`` on this machine: what comes, whole however it ends, and nothing replaced by accident."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agent_kit import until
from flowgauge.cli.main import main
from heads_kit import packets, tshark
from node_kit import A, TwoPods, two_pods
from packets_kit import chatter


def capturing(built: TwoPods, folder: Path, *words: str) -> subprocess.Popen[str]:
    """A capture in the node's namespace; an instance that runs on this machine is not asked."""
    command = [sys.executable, "-m", "flowgauge.cli.main", "capture", "--standalone", "--netns", built.node, *words]
    environment = {**os.environ, "FLOWGAUGE_RUNTIME_DIR": str(folder / "none")}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.root
@pytest.mark.tool("tshark")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_file_is_whole_however_the_capture_ends(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "capture.pcapng"
    with two_pods() as node, chatter(node):
        process = capturing(node, tmp_path, f"src_addr = {A}", "--for", "1h", "-w", str(path))
        try:
            until(lambda: path.exists() and path.stat().st_size > 2_000, "packets in the file")
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == (0 if number != signal.SIGKILL else -signal.SIGKILL), said
    rows = tshark(path, "ip.src", "frame.interface_name")
    assert {source for source, _ in rows} == {A}
    assert {device for _, device in rows} == {"va", "vb"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    if number != signal.SIGKILL:
        assert f"{len(rows)} packets of 1 node" in said


@pytest.mark.root
def test_size_and_devices_are_bounds(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcapng"
    with two_pods() as node, chatter(node):
        process = capturing(node, tmp_path, "--interface", "va", "--max-bytes", "3kB", "--for", "1h", "-w", str(path))
        _, said = process.communicate(timeout=60)
        refused = capturing(node, tmp_path, "--interface", "nope", "-w", str(tmp_path / "other"))
        assert "no device here matches --interface nope" in refused.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert refused.returncode == 2
    assert "ended at --max-bytes" in said
    assert 2_000 < path.stat().st_size <= 3_000
    assert packets(path.read_bytes())
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prt = 9"], "did you mean 'port'"),
        (["rtt_avg_ns > 5ms"], "a packet has no rtt_avg_ns"),
        (["--past", "60s"], "do not go with --standalone"),
        (["--for", "0s"], "nothing to capture"),
        (["--for", "2h"], "one hour at most"),
        (["--at", "10:00", "--for", "5s"], "leave one out"),
        (["--max-bytes", "lots"], "no size"),
        (["--max-bytes", "99GB"], "no size"),
        (["--write", "{there}"], "is there already"),
        (["--write", "{there}/below"], "Not a directory"),
        (["--freeze", "1m"], "for agents"),
        (["--netns", "no-such-namespace"], "no-such-namespace"),
    ],
)
@pytest.mark.root
def test_mistakes_are_one_sentence_and_make_no_file(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.write_text("keep me")
    monkeypatch.chdir(tmp_path)
    status = main(["capture", "--standalone", *(word.format(there=there) for word in words)])
    error = capsys.readouterr().err
    assert status in {2, 3}
    assert said in error
    assert "our mistake" not in error
    assert there.read_text() == "keep me"
    assert [entry.name for entry in tmp_path.iterdir()] == ["there"]
