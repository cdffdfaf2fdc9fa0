# SPDX-License-Identifier: Apache-2.0
"""An agent asks for little, gives up the rest, and still follows devices and documents; the documented set is enough."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from agent_kit import AgentProcess, agent, collector, until
from flowgauge.config.model import Feature
from flowgauge.demo.scene import kernel
from flowgauge.runtime import linux
from node_kit import A, B, TwoPods, transfer, two_pods
from seccomp_kit import under

pytestmark = [pytest.mark.root, pytest.mark.bpf]

NUMBERS = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}
DOCUMENTED = Path(__file__).parents[2] / "docs/reference/capabilities.md"


def mask(*names: str) -> int:
    return sum(1 << NUMBERS[name] for name in names)


def threads(running: AgentProcess) -> list[dict[str, str]]:
    """Each thread's /proc/PID/task/TID/status."""
    folder = Path(f"/proc/{running.process.pid}/task")
    texts = [(path / "status").read_text() for path in folder.iterdir()]
    return [dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line) for text in texts]


def words(node: TwoPods, port: int) -> list[str]:
    return ["--node", "n1", "--collector", f"127.0.0.1:{port}", "--http-port", "0", "--export-interval", "200ms"]


def test_every_thread_of_an_agent_keeps_only_what_it_needs_and_can_get_no_more(tmp_path: Path) -> None:
    allowed = mask("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_PERFMON", "CAP_BPF", "CAP_SYS_ADMIN")
    with (
        two_pods() as node,
        collector() as to,
        agent(["--netns", node.node, *words(node, to.port)], tmp_path) as running,
    ):
        found = threads(running)
    assert len(found) > 2
    for status in found:
        for name in ("CapPrm", "CapEff", "CapBnd"):
            assert int(status[name], 16) & ~allowed == 0, (name, status["Name"])
        assert int(status["CapAmb"], 16) == int(status["CapInh"], 16) == 0
        assert status["NoNewPrivs"].strip() == "1"


def test_the_documented_capabilities_are_enough_for_devices_and_documents_that_change(tmp_path: Path) -> None:
    """Without entering another namespace: the set of the page's systemd unit."""
    unit = next(line for line in DOCUMENTED.read_text().splitlines() if line.startswith("AmbientCapabilities="))
    names = re.findall(r"CAP_\w+", unit)
    only = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in names)
    prefix = ["setpriv", f"--bounding-set=-all,{only}", "--inh-caps=-all", "--"]
    document = tmp_path / "document.yaml"
    document.write_text("spec: {exporter: {sampling: 1, exportInterval: 200ms}}\n")
    with two_pods() as node, linux.in_netns(node.node), collector() as to:
        with agent(["-f", str(document), *words(node, to.port)], tmp_path, prefix) as running:
            assert int(threads(running)[0]["CapEff"], 16) == mask(*names)
            assert set(running.ready()["attached"].values()) <= {"tcx", "clsact"}
            kernel.ip_batch(node.node, ["link add vnew type veth peer name vother", "link set vnew up"])
            until(lambda: [e for e in running.events("interface_attached") if e["interface"] == "vnew"], "vnew attached")
            document.write_text("spec: {exporter: {sampling: 1, exportInterval: 200ms, maxFlows: 5000}}\n")
            running.signal(signal.SIGHUP)
            until(lambda: running.events("settings_applied"), "settings applied")
            transfer(node, ("a", "b"), (B, 9000), 100_000)
            until(lambda: [row for row in to.rows() if row["src_addr"] == A and row["dst_port"] == 9000], "flows")
            assert running.stop() == 0
        assert not running.events("settings_not_applied")


def documented_filter() -> str:
    """``SystemCallFilter=`` of the page's systemd unit."""
    (found,) = re.findall(r"^SystemCallFilter=(.+)$", DOCUMENTED.read_text(), re.MULTILINE)
    return str(found)


@pytest.mark.tool("systemd-analyze")
def test_an_agent_with_every_feature_needs_no_other_system_calls_than_documented(tmp_path: Path) -> None:
    features = ", ".join(Feature)
    document = tmp_path / "document.yaml"
    document.write_text(f"spec: {{exporter: {{sampling: 1, exportInterval: 200ms, features: [{features}]}}}}\n")
    with two_pods() as node, linux.in_netns(node.node), collector() as to:
        command = under(documented_filter())
        with agent(["-f", str(document), *words(node, to.port)], tmp_path, command) as running:
            assert threads(running)[0]["Seccomp"].strip() == "2", "no filter: this proves nothing"
            assert set(running.ready()["attached"].values()) <= {"tcx", "clsact"}
            transfer(node, ("a", "b"), (B, 9000), 100_000)
            until(lambda: [row for row in to.rows() if row["src_addr"] == A and row["dst_port"] == 9000], "flows")
            document.write_text("spec: {exporter: {sampling: 1, exportInterval: 200ms, maxFlows: 5000}}\n")
            running.signal(signal.SIGHUP)
            until(lambda: running.events("settings_applied"), "settings applied")
            assert running.stop() == 0
        assert not [event for event in running.log() if event["level"] in {"warning", "error"}]


@pytest.mark.tool("systemd-analyze")
def test_an_agent_whose_filter_refuses_bpf_says_so_and_counts_without(tmp_path: Path) -> None:
    filters = documented_filter().replace(" bpf", "")
    with two_pods() as node, linux.in_netns(node.node), collector() as to:
        with agent(words(node, to.port), tmp_path, under(filters)) as running:
            assert set(running.ready()["attached"].values()) == {"af_packet"}
            transfer(node, ("a", "b"), (B, 9000), 100_000)
            until(lambda: [row for row in to.rows() if row["src_addr"] == A and row["dst_port"] == 9000], "flows")
        assert "a seccomp profile" in running.events("observing_without_ebpf")[0]["why"]
