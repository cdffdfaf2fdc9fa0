# SPDX-License-Identifier: Apache-2.0
"""``flowgauge run`` on real processes in a network namespace: a saved change and kill -9 of any part lose no packet."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowgauge.runtime import linux

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.slow, pytest.mark.tool("ip", "curl", "nsenter", "setpriv")]

COMMAND = [sys.executable, "-P", "-m", "flowgauge.cli.main"]
PORT = 9999
DOCUMENT = """\
spec:
  exporter: {{interfaces: [host0], exportInterval: 500ms, {exporter}}}
  collector: {{{collector}}}
  storage: {{retention: {retention}}}
  consolePlugin: {{port: 0}}
  logLevel: {level}
"""

SENDER = f"""
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.98.0.2", {PORT}))
end, sent = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < end:
    s.sendto(b"x" * 100, ("10.98.0.1", {PORT})); sent += 1; time.sleep(0.005)
print(sent)
"""


def document(
    exporter: str = "sampling: 1", collector: str = "deduplicate: Mark", retention: str = "7d", level: str = "info"
) -> str:
    return DOCUMENT.format(exporter=exporter, collector=collector, retention=retention, level=level)


class Machine:
    """A namespace in which ``flowgauge run`` is the host, beside one that sends to it over a veth."""

    def __init__(self, folder: Path) -> None:
        tag = uuid.uuid4().hex[:6]
        self.host, self.peer = f"fg-run-{tag}-h", f"fg-run-{tag}-p"
        self.folder, self.document = folder, folder / "doc.yaml"
        self.env = {**os.environ, "FLOWGAUGE_RUNTIME_DIR": str(folder / "runtime")}
        self.output = folder / "output.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        for name in (self.host, self.peer):
            linux.create_netns(name)
        for words in (
            f"link add host0 netns {self.host} type veth peer name peer0 netns {self.peer}",
            f"-n {self.host} addr add 10.98.0.1/24 dev host0",
            f"-n {self.peer} addr add 10.98.0.2/24 dev peer0",
            f"-n {self.host} link set lo up",
            f"-n {self.host} link set host0 up",
            f"-n {self.peer} link set peer0 up",
        ):
            subprocess.run(["ip", *words.split()], check=True)

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for name in (self.host, self.peer):
            linux.delete_netns(name)

    def start(self, *options: str, wrapped: tuple[str, ...] = ()) -> None:
        arguments = ["run", "-f", str(self.document), "--data-dir", str(self.folder / "data"), "--node", "n", *options]
        with self.output.open("wb") as output:
            command = self.inside(*wrapped, *COMMAND, *arguments)
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=self.env)
        assert eventually(lambda: "Ctrl-C stops everything" in self.said() or self.process.poll() is not None, 150), self.said()
        assert self.process.poll() is None, self.said()

    def inside(self, *command: str) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.host}", *command]

    def said(self) -> str:
        return self.output.read_text() if self.output.exists() else ""

    def instance(self) -> dict[str, Any]:
        return json.loads((self.folder / "runtime/instance.json").read_text())

    def sender(self, seconds: float) -> subprocess.Popen[str]:
        command = ["nsenter", f"--net=/run/netns/{self.peer}", sys.executable, "-c", SENDER, str(seconds)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def stored_packets(self) -> int:
        question = [
            "flows",
            f"dst_port = {PORT} and src_addr = 10.98.0.2",
            "--by",
            "dst_port",
            "--top",
            "packets",
            "-o",
            "jsonl",
        ]
        done = subprocess.run(self.inside(*COMMAND, *question), capture_output=True, text=True, env=self.env, check=True)
        return sum(json.loads(line)["packets"] for line in done.stdout.splitlines() if '"dst_port"' in line)

    def pid(self, part: str) -> int:
        """Process id of a part, found by what only it has in its arguments."""
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if folder.name.isdigit() and part.encode() in words and str(self.folder).encode() in b"\0".join(words):
                    return int(folder.name)
        return 0


def eventually(condition: Callable[[], Any], timeout_s: float = 90.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        made.make()
        made.document.write_text(document())
        yield made
    finally:
        made.remove()


def test_saved_changes_are_applied_and_every_packet_is_counted_once(machine: Machine) -> None:
    machine.start()
    sender = machine.sender(12)
    before = machine.pid("agent")
    machine.document.write_text(document(level="debug", collector="deduplicate: Drop"))
    assert eventually(lambda: "spec.logLevel: info → debug" in machine.said())
    assert "collector, agent-n, console: taken over without a restart" in machine.said()
    machine.document.write_text(document(level="debug", collector="deduplicate: Drop", retention="8d"))
    assert eventually(lambda: "store: restarted, since storage.retention takes effect at a start only" in machine.said())
    assert eventually(lambda: machine.said().count("collector is ready") == 1)
    assert machine.pid("agent") == before
    assert eventually(lambda: '"level": "debug"' in (machine.folder / "data/logs/collector.log").read_text())
    sent = int(sender.communicate(timeout=60)[0])
    assert eventually(lambda: machine.stored_packets() >= sent), f"{machine.stored_packets()} of {sent}"
    assert machine.stored_packets() == sent


def test_changed_sampling_is_taken_over_by_the_running_agent(machine: Machine) -> None:
    machine.start()
    agent = machine.pid("agent")
    machine.document.write_text(document(exporter="sampling: 4"))
    assert eventually(lambda: "agent-n: taken over without a restart" in machine.said())
    log = machine.folder / "data/logs/agent-n.log"
    assert eventually(lambda: "settings_applied" in log.read_text())
    sent = int(machine.sender(3).communicate(timeout=60)[0])
    # Scaled: 1 of 4 packets; the estimate's deviation is √(3 · sent), and six of them are never exceeded by chance.
    assert eventually(lambda: abs(machine.stored_packets() - sent) < 6 * (3 * sent) ** 0.5)
    assert machine.pid("agent") == agent


def test_a_document_with_problems_changes_nothing_and_is_told(machine: Machine) -> None:
    machine.start()
    machine.document.write_text(document(level="loud"))
    assert eventually(lambda: "the change is not applied" in machine.said())
    assert "line 6: spec.logLevel: must be trace, debug, info, warning or error" in machine.said()
    assert machine.process is not None
    assert machine.process.poll() is None


@pytest.mark.parametrize("part", ["collect", "store", "console"])
def test_a_killed_part_comes_back_and_no_packet_is_missing(machine: Machine, part: str) -> None:
    machine.start()
    sender = machine.sender(8)
    time.sleep(2)
    first = machine.pid(part)
    assert first
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: machine.pid(part) not in (0, first))
    name = {"collect": "collector"}.get(part, part)
    assert eventually(lambda: f"{name} died and is started again" in machine.said() and f"{name} is ready" in machine.said())
    sent = int(sender.communicate(timeout=60)[0])
    if part == "collect":  # what it had received and not yet stored is gone; what is stored stays, and counting goes on
        assert eventually(lambda: machine.stored_packets() > sent // 2)
    else:
        assert eventually(lambda: machine.stored_packets() >= sent), f"{machine.stored_packets()} of {sent}"
        assert machine.stored_packets() == sent


def test_a_killed_agent_comes_back_and_goes_on_counting(machine: Machine) -> None:
    machine.start()
    first = machine.pid("agent")
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: "agent-n is ready" in machine.said())
    sent = int(machine.sender(2).communicate(timeout=60)[0])
    assert eventually(lambda: machine.stored_packets() == sent), f"{machine.stored_packets()} of {sent}"


def test_ctrl_c_drains_in_order_and_leaves_nothing(machine: Machine) -> None:
    machine.start()
    sent = int(machine.sender(2).communicate(timeout=60)[0])
    pids = [machine.pid(part) for part in ("agent", "collect", "store", "console")]
    assert all(pids)
    assert machine.process is not None
    machine.process.send_signal(signal.SIGINT)
    assert machine.process.wait(60) == 0
    assert machine.said().endswith("stopped\n")
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert not (machine.folder / "runtime/instance.json").exists()
    machine.start()
    assert machine.stored_packets() == sent


def test_without_an_agent_one_sentence_says_so(machine: Machine) -> None:
    machine.start("--no-agent")
    assert "agent      none: --no-agent; flows come from what is sent to 127.0.0.1:2055" in machine.said()
    assert machine.pid("agent") == 0


def test_without_capabilities_the_rest_runs_and_the_missing_ones_are_named(machine: Machine) -> None:
    machine.start(wrapped=("setpriv", "--bounding-set", "-all", "--inh-caps", "-all"))
    assert "agent      none: flowgauge agent needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (run it as root, or" in machine.said()
    assert machine.pid("collect")


def test_a_second_instance_is_refused(machine: Machine) -> None:
    machine.start("--no-agent")
    done = subprocess.run(
        machine.inside(*COMMAND, "run"), capture_output=True, text=True, env=machine.env, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "`flowgauge run` runs already" in done.stderr


def test_a_console_beyond_loopback_asks_for_the_token_that_the_command_line_finds(machine: Machine) -> None:
    machine.start("--no-agent", "--set", "consolePlugin.address=0.0.0.0")
    token_file = machine.folder / "data/state/console-token"
    assert f"(token: {token_file})" in machine.said()
    assert token_file.stat().st_mode & 0o777 == 0o600
    assert token_file.read_text().strip() not in machine.said()
    url = f"{machine.instance()['console_url']}/api/v1/status"
    refused = subprocess.run(
        machine.inside("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url), capture_output=True, text=True, check=True
    )
    assert refused.stdout == "401"
    assert machine.stored_packets() == 0
