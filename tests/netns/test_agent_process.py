# SPDX-License-Identifier: Apache-2.0
"""``flowgauge agent`` as a process on a real node: what it sends, how it changes its settings, how it dies."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import pwd
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kit import WITHIN_S, AgentProcess, Collector, agent, collector, until
from flowgauge.agent.settings import AgentSettings
from flowgauge.demo.scene import kernel
from flowgauge.demo.scene.network import Network
from flowgauge.demo.scene.pods import PodPlace, add_pod
from flowgauge.runtime import linux
from flowgauge.runtime.clock import now_ns
from flowgauge.schema.enums import FLOW_DIRECTION, LOCAL_ENDS
from node_kit import FAR, A, B, TwoPods, settled, transfer, two_pods
from quiet_kit import at_rest

pytestmark = [pytest.mark.root, pytest.mark.bpf]


@pytest.fixture
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        kernel.ip_batch(built.node, ["route add default via 10.9.3.2"])  # so that eth0 faces other machines
        yield built


def options(node: TwoPods, to: Collector, *more: str) -> list[str]:
    return ["--netns", node.node, "--node", "n1", "--collector", f"127.0.0.1:{to.port}", "--http-port", "0",
            "--export-interval", "200ms", *more]  # fmt: skip


def of(rows: list[dict[str, Any]], src: str, dst: str) -> list[dict[str, Any]]:
    """Flows from one address to another; not what sockets tell once all packets are told."""
    return [row for row in rows if (row["src_addr"], row["dst_addr"]) == (src, dst) and row["packets"]]


def total(rows: list[dict[str, Any]], name: str) -> int:
    return sum(row[name] for row in rows)


def test_what_is_sent_is_what_the_kernel_counted(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with agent(options(node, to, "--report", str(report)), tmp_path) as running:
        before, start = settled(node, 0.0), now_ns()
        done = transfer(node, ("a", "far"), (FAR, 9000), 3_000_000)
        transfer(node, ("a", "b"), (B, 9000), 1000)
        after = settled(node)["va"].since(before["va"])
        assert running.stop() == 0
        end = now_ns()
    rows, counters = to.rows(), to.counters()
    _, decoded, told = to.decoded()
    assert total(rows, "packets") == counters["kernel_packets_in_flows"]
    assert len(rows) == counters["eviction_flows"] == decoded["decode_records"]
    assert "sequence_gap_records" not in decoded
    assert decoded["decode_records"] + decoded["decode_options_records"] == counters_of(report)["export_records_sent"]
    there = of(rows, A, FAR)
    ours = [row for row in rows if A in {row["src_addr"], row["dst_addr"]}]
    assert abs(total(ours, "packets") - after.packets) <= 4  # ARP
    assert {row["src_port"] for row in there} == {done.sender[1]}
    assert {(LOCAL_ENDS[row["local_ends"]], FLOW_DIRECTION[row["flow_direction"]]) for row in there} == {("src", "egress")}
    assert {LOCAL_ENDS[row["local_ends"]] for row in of(rows, A, B)} == {"both"}
    assert {(row["in_if"], row["out_if"]) for row in there[:1]} == {(node.ifindex("va"), node.ifindex("eth0"))}
    assert all(start - 20_000_000 <= row["time_start_ns"] <= row["time_end_ns"] <= end for row in there)
    assert {row["obs_domain_id"] for row in rows} == {AgentSettings(node="n1").domain}
    names = {record["ingressInterface"]: record["interfaceName"] for record in told if "interfaceName" in record}
    assert names[node.ifindex("va")] == "va"


def counters_of(report: Path) -> dict[str, int]:
    counters: dict[str, int] = json.loads(report.read_text())["components"][0]["counters"]
    return counters


def ledger(running: AgentProcess) -> dict[str, int]:
    counters: dict[str, int] = json.loads(running.get("/api/v1/ledger"))["components"][0]["counters"]
    return counters


def test_it_tells_about_itself_over_http(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    with agent(options(node, to, "--interface", "/^v/", "--interface", "ens3"), tmp_path) as running:
        until(lambda: running.get("/readyz"), "ready")
        state = json.loads(running.get("/api/v1/interfaces"))
        assert {entry["name"]: entry["attached"] for entry in state["interfaces"]} == {
            "lo": "", "va": "tcx", "vb": "tcx", "eth0": "",
        }  # fmt: skip
        assert state["notes"] == ["ens3 matches nothing on n1 (it has eth0, va, vb)"]
        assert "flowgauge_kernel_packets_seen_total" in running.get("/metrics")
        transfer(node, ("a", "b"), (B, 9000), 1000)
        until(
            lambda: json.loads(running.get("/api/v1/ledger"))["components"][0]["counters"]["kernel_packets_in_flows"], "ledger"
        )


def test_devices_are_observed_as_they_come(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    with agent(options(node, to), tmp_path) as running:
        kernel.ip_batch(node.node, ["link add vc type veth peer name vd", "link set vc up", "link set vd up"])
        until(lambda: {event["interface"] for event in running.events("interface_attached")} >= {"vc", "vd"}, "attached")
        kernel.ip_batch(node.node, ["link del vc"])
        until(lambda: {event["interface"] for event in running.events("interface_detached")} >= {"vc", "vd"}, "detached")
        transfer(node, ("a", "b"), (B, 9000), 1000)
        assert running.stop() == 0
    assert total(of(to.rows(), A, B), "packets") >= 4


DOCUMENT = """
spec:
  exporter: {{maxFlows: {max_flows}, exportInterval: 200ms, interfaces: {interfaces}, sampling: {sampling}}}
  collector: {{address: 127.0.0.1, port: {port}}}
  logLevel: {level}
"""


def document(path: Path, to: Collector, **changed: Any) -> list[str]:
    """Writes the document; the options that make an agent follow it."""
    values = {"max_flows": 8192, "interfaces": "[]", "sampling": 1, "level": "info", **changed}
    path.write_text(DOCUMENT.format(port=to.port, **values))
    return ["-f", str(path)]


class Paced:
    """Sends numbered datagrams from pod a to far until it is told to stop."""

    def __init__(self, node: TwoPods) -> None:
        self._socket, self._stop, self.sent = node.socket("a", socket.AF_INET, socket.SOCK_DGRAM), threading.Event(), 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._socket.sendto(bytes(100), (FAR, 7777))
            self.sent += 1
            time.sleep(0.0005)

    def stop(self) -> int:
        """How many were sent."""
        self._stop.set()
        self._thread.join()
        self._socket.close()
        return self.sent


def test_changed_settings_are_taken_over_without_losing_a_packet(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    """A larger table needs the program to be replaced, while 2000 packets a second pass."""
    path = tmp_path / "doc.yaml"
    more = ["--netns", node.node, "--node", "n1", "--http-port", "0"]
    with agent([*document(path, to), *more], tmp_path) as running:
        paced = Paced(node)
        for number, max_flows in enumerate((4096, 16384, 1024), 1):
            time.sleep(0.3)
            document(path, to, max_flows=max_flows)
            running.signal(signal.SIGHUP)
            until(lambda wanted=number: len(running.events("settings_applied")) == wanted, "applied")
        until(lambda: paced.sent > 1000, "some hundred datagrams of each program")
        sent = paced.stop()
        settled(node)
        assert running.stop() == 0
    rows = [row for row in to.rows() if row["dst_port"] == 7777]
    assert total(rows, "packets") == sent > 1000
    assert total(to.rows(), "packets") == to.counters()["kernel_packets_in_flows"]


def test_interfaces_and_sampling_change_while_it_runs(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    path = tmp_path / "doc.yaml"
    with agent([*document(path, to), "--netns", node.node, "--node", "n1", "--http-port", "0"], tmp_path) as running:
        document(path, to, interfaces="[eth0]", sampling=5, level="debug")
        running.signal(signal.SIGHUP)
        until(lambda: running.events("settings_applied"), "applied")
        state = json.loads(running.get("/api/v1/interfaces"))
        assert {entry["name"] for entry in state["interfaces"] if entry["attached"]} == {"eth0"}
        assert state["notes"] == ["traffic between pods of one node is not seen this way"]
        transfer(node, ("a", "far"), (FAR, 9000), 2_000_000)
        assert running.stop() == 0
    rows = of(to.rows(), A, FAR)
    assert {row["sampling_rate"] for row in rows} == {5}
    assert 150 < total(rows, "packets") < 450


def test_a_broken_document_changes_nothing_and_is_told(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    path = tmp_path / "doc.yaml"
    with agent([*document(path, to), "--netns", node.node, "--node", "n1", "--http-port", "0"], tmp_path) as running:
        path.write_text("spec: {exporter: {sampling: many}}")
        running.signal(signal.SIGHUP)
        told = until(lambda: running.events("settings_not_applied"), "told")
        assert "spec.exporter.sampling" in told[0]["error"]
        transfer(node, ("a", "b"), (B, 9000), 1000)
        assert running.stop() == 0
    assert of(to.rows(), A, B)


def test_where_a_certificate_cannot_be_used_all_else_is_applied(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    """And the document that was there before is a change again, not what holds already."""
    path = tmp_path / "doc.yaml"
    with agent([*document(path, to), "--netns", node.node, "--node", "n1", "--http-port", "0"], tmp_path) as running:
        document(path, to, sampling=100, interfaces="[va]")
        text = path.read_text()
        tls = f"transport: TLS, clientTls: {{ca: {tmp_path / 'missing.pem'}}}, address"
        path.write_text(text.replace("{address", "{" + tls))
        running.signal(signal.SIGHUP)
        until(lambda: running.events("settings_applied"), "applied")
        assert "missing.pem" in running.events("sending_not_changed")[0]["error"]
        state = json.loads(running.get("/api/v1/interfaces"))
        assert {entry["name"] for entry in state["interfaces"] if entry["attached"]} == {"va"}
        document(path, to)
        running.signal(signal.SIGHUP)
        until(lambda: len(running.events("settings_applied")) == 2, "applied again")
        transfer(node, ("a", "b"), (B, 9000), 1000)
        assert running.stop() == 0
    rows = of(to.rows(), A, B)
    assert {row["sampling_rate"] for row in rows} == {1}
    assert total(rows, "packets") >= 4


def test_a_collector_that_is_away_loses_nothing(node: TwoPods, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    more = ["--netns", node.node, "--collector", f"127.0.0.1:{port}", "--export-interval", "200ms", "--http-port", "0"]
    with agent(more, tmp_path) as running:
        transfer(node, ("a", "b"), (B, 9000), 1000)
        until(lambda: running.events("export_held_back"), "held back")
        time.sleep(0.5)
        with collector(port) as to:
            until(lambda: of(to.rows(), A, B) and of(to.rows(), B, A), "the flows that were kept")
            assert running.stop() == 0
            rows, counters = to.rows(), to.counters()
    assert total(rows, "packets") == counters["kernel_packets_in_flows"]
    assert counters["export_records_failed"] == 0


def test_a_killed_agent_leaves_nothing_and_the_next_one_counts(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    with agent(options(node, to), tmp_path) as running:
        running.process.kill()
        running.process.wait()
        with agent(options(node, to), tmp_path) as next_one:
            assert not next_one.events("leftover_filters_removed")
            before = settled(node)["va"]
            transfer(node, ("a", "b"), (B, 9000), 1000)
            sent = settled(node)["va"].since(before).rx_packets
            assert next_one.stop() == 0
    assert 4 <= total(of(to.rows(), A, B), "packets") <= sent, "each packet once: nobody else counts any more"


def test_two_nodes_of_one_kernel_each_count_what_passes_them(to: Collector, tmp_path: Path) -> None:
    with Network() as network:
        network.up((("node-a", "z1"), ("node-b", "z2")))
        pods = [add_pod(network, node, f"pod-{name[-1]}") for name, node in network.nodes.items()]
        agents = [
            AgentProcess(["--netns", node.netns, "--node", name, "--collector", f"127.0.0.1:{to.port}", "--export-interval",
                          "200ms", "--http-port", "0"], tmp_path)
            for name, node in network.nodes.items()
        ]  # fmt: skip
        try:
            for one in agents:
                one.ready()
            before = [pod.traffic() for pod in pods]
            talk(pods, 500_000)
            after = at_rest(lambda: [pod.traffic() for pod in pods])
            moved = [now.since(start) for now, start in zip(after, before, strict=True)]
            assert [one.stop() for one in agents] == [0, 0]
        finally:
            for one in agents:
                one.process.kill()
                one.process.wait()
    rows = to.rows()
    by_node = [
        [row for row in rows if row["obs_domain_id"] == AgentSettings(node=name).domain and row["proto"] == 6]
        for name in ("node-a", "node-b")
    ]
    assert total(by_node[0], "packets") == total(by_node[1], "packets")
    assert total(by_node[0], "bytes") == total(by_node[1], "bytes")
    assert total(by_node[0], "packets") <= moved[0].packets == moved[1].packets <= total(by_node[0], "packets") + 4
    assert {LOCAL_ENDS[row["local_ends"]] for row in of(by_node[0], pods[0].address, pods[1].address)} == {"src"}
    assert {LOCAL_ENDS[row["local_ends"]] for row in of(by_node[1], pods[0].address, pods[1].address)} == {"dst"}


def talk(pods: list[PodPlace], size: int) -> None:
    """Sends from the first pod to the second over TCP, until both have closed."""
    with linux.in_netns(pods[1].netns):
        listener = socket.create_server((pods[1].address, 8000))
    with linux.in_netns(pods[0].netns):
        out = socket.socket()
    with listener, out:
        out.settimeout(20)
        out.connect((pods[1].address, 8000))
        peer, _ = listener.accept()
        sender = threading.Thread(target=lambda: (out.sendall(bytes(size)), out.shutdown(socket.SHUT_WR)))
        sender.start()
        with peer:
            while peer.recv(1 << 16):
                pass
        sender.join()
        assert out.recv(1) == b""


def run_without(*words: str) -> subprocess.CompletedProcess[str]:
    """Runs ``flowgauge agent`` without any capability, as a normal user where such a one can enter this Python's folder."""
    reachable = all(folder.stat().st_mode & 0o001 for folder in Path(sys.executable).resolve().parents)
    entry = pwd.getpwnam("nobody" if reachable else "root")
    drop = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", "--bounding-set=-all",
            "--inh-caps=-all"]  # fmt: skip
    command = [*drop, sys.executable, "-m", "flowgauge.cli.main", "agent", "--http-port", "0", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")


def test_without_capabilities_it_names_what_is_missing() -> None:
    done = run_without()
    assert done.returncode == 3
    assert done.stderr == (
        "flowgauge: flowgauge agent needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (run it as root, "
        "or in a systemd unit give AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN)\n"
    )
    assert "CAP_SYS_ADMIN (to enter another network namespace)" in run_without("--netns", "x").stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--netns", "no-such"], "cannot enter the network namespace no-such"),
        (["--interface", "/(/"], "--interface (spec.exporter.interfaces[0])"),
        (["--collector", "a:b"], "'b' is no port"),
        (["--sampling", "0"], "--sampling (spec.exporter.sampling)"),
    ],
)
def test_a_wrong_word_is_one_sentence(words: list[str], sentence: str) -> None:
    command = [sys.executable, "-m", "flowgauge.cli.main", "agent", "--http-port", "0", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (3 if words[0] == "--netns" else 2)
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert sentence in " ".join(said)
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_told_and_nothing_stays_attached(node: TwoPods, to: Collector, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = AgentProcess([*options(node, to), "--http-port", str(port)], tmp_path)
        assert running.process.wait(WITHIN_S) == 3
    assert str(port) in running.log()[-1]["event"]
    assert running.events("interface_detached")


def test_it_ends_with_its_terminal(node: TwoPods, to: Collector) -> None:
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "flowgauge.cli.main", "agent", *options(node, to)]
    with subprocess.Popen(
        command,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    ) as process:
        os.close(terminal)
        said = b""
        while b"agent_ready" not in said:
            said += os.read(master, 4096)
        transfer(node, ("a", "b"), (B, 9000), 1000)
        os.close(master)
        assert process.wait(WITHIN_S) == 0
    assert of(to.rows(), A, B)
