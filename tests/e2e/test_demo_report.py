# SPDX-License-Identifier: Apache-2.0
"""`flowgauge demo --for 30s --report`: every check holds, the report says what later checks read, nothing is left behind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from demo_kit import ENDS_WITHIN_S, READY_WITHIN_S, TIMELY, Demo, Made

pytestmark = [
    pytest.mark.root, pytest.mark.bpf, pytest.mark.slow, pytest.mark.tool("ip", "nft", "dnsmasq", "initdb", "bpftool"),
]  # fmt: skip

USERS_DOCUMENT = """\
apiVersion: flowgauge.io/v1alpha1
kind: FlowCollector
metadata: {name: cluster}
spec:
  exporter: {enable: true, sampling: 100, interfaces: [eth0]}
  collector: {type: IPFIX, address: flow-collector.flow-namespace.svc.cluster.local, port: 2055}
  storage: {type: Loki, address: "http://loki.monitoring.svc:3100", retention: 7d}
  consolePlugin: {enable: true}
  logLevel: info
"""


class Run:
    """A demo that ended by itself: what it said and reported, and what it had made."""

    def __init__(self, folder: Path, *options: str) -> None:
        report = folder / "report.json"
        demo = Demo(folder, "--for", "30s", "--report", str(report), *options)
        try:
            self.instance = demo.await_running()
            self.objects = demo.run("demo", "get", "all", "-n", "flow-demo").stdout
            demo.wait_for(lambda: "now belongs to" in demo.said(), "a pod replaced", READY_WITHIN_S)
            self.made: Made = demo.made()
            self.status = demo.process.wait(ENDS_WITHIN_S)
        finally:
            demo.close()
        self.said = demo.said()
        self.state_left = sorted(path.name for path in folder.iterdir() if path.name not in ("output", "report.json"))
        self.report: dict[str, Any] = json.loads(report.read_text())

    def failed(self) -> list[str]:
        """What did not hold, but for what only a busy machine makes late."""
        failed = [check for check in self.report["checks"] if not check["held"] and check["name"] not in TIMELY]
        return [f"{check['name']}: {check['detail']}" for check in failed]

    def right_status(self) -> int:
        """1 when any check failed."""
        return int(not all(check["held"] for check in self.report["checks"]))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("demo"))


def test_every_check_held_and_the_exit_status_says_so(run: Run) -> None:
    assert run.failed() == []
    assert run.status == run.right_status(), run.said


def test_pods_packets_and_bytes_are_exactly_those_of_their_interfaces(run: Run) -> None:
    accounts = run.report["accuracy"]
    assert len(accounts) == run.report["pods"] - 2, "all but the two pods whose links carry super-packets"
    for account in accounts:
        assert 0 <= account["flow_packets"] - account["interface_packets"] <= account["unsure_packets"], account
        if not account["unsure_packets"]:
            assert account["flow_bytes"] == pytest.approx(account["interface_bytes"], rel=0.001), account
    assert sum(account["flow_packets"] for account in accounts) > 1000


def test_every_name_is_right_also_at_the_address_that_had_two_holders(run: Run) -> None:
    identity = run.report["identity"]
    assert identity["checked"] > 100
    assert (identity["wrong"], identity["unknown"]) == (0, 0), identity["examples"]
    assert len(identity["reused"]) == 2


def test_the_edges_of_the_story_are_there_and_the_outside_is_labelled(run: Run) -> None:
    ends = {
        (
            edge["src_namespace"],
            edge["src_owner"],
            edge["dst_namespace"],
            edge["dst_owner"],
            edge["dst_service"],
            edge["dst_port"],
        )
        for edge in run.report["edges"]
    }
    web, database = ("flow-demo", "django-psql-example"), ("flow-demo", "postgresql")
    assert ("", "EXT:clients", *web, "django-psql-example", 8080) in ends
    assert ("", "EXT:you", *web, "django-psql-example", 8080) in ends
    assert (*web, *database, "postgresql", 5432) in ends
    assert (*web, "openshift-dns", "dns-default", "dns-default", 53) in ends
    assert ("other-team", "stock-report", *database, "postgresql", 5432) in ends


def test_the_ledger_leaves_nothing_over(run: Run) -> None:
    ledger = run.report["ledger"]
    assert ledger["offered"] == ledger["stored"] + ledger["options"] + ledger["chosen"] + sum(ledger["losses"].values())
    assert (ledger["residual"], ledger["kernel"]["residual"], ledger["losses"]) == (0, 0, {})
    agents = [entry["instance"] for entry in ledger["components"] if entry["component"] == "agent"]
    assert {name.partition("@")[0] for name in agents} == {"node-a", "node-b", "node-c"}


def test_the_bulk_transfer_with_offloads_on_is_counted_exactly(run: Run) -> None:
    transfer = run.report["transfer"]
    assert transfer["received_bytes"] == 100_000_000
    most = transfer["tcp_out_segs"] + transfer["tcp_retrans_segs"]
    assert 0.999 * transfer["tcp_out_segs"] <= transfer["flow_packets"] <= 1.001 * most, "what is sent again may be lost before"
    assert 0.999 * 100_000_000 <= transfer["flow_payload_bytes"] <= 1.001 * transfer["sent_bytes"]


def test_a_named_flow_came_and_how_long_that_took_is_in_the_report(run: Run) -> None:
    """Whether soon enough is among the checks; a busy machine is no failure."""
    print(f" first named flow after {run.report['first_named_flow_s']} s, set up after {run.report['setup_s']} s", end="")
    assert run.report["first_named_flow_s"] > 0
    assert run.report["setup_s"] > 0


def test_round_trips_and_segments_sent_again_are_those_of_the_kernel(run: Run) -> None:
    checked = {check["name"]: check for check in run.report["checks"]}
    for name, source in (
        ("round trips to PostgreSQL, ms", "ss -ti, medians of "),
        ("smallest round trip to PostgreSQL, ms", "minrtt of ss -ti"),
        ("segments sent again by pods", "TcpRetransSegs"),
    ):
        assert checked[name]["held"], checked[name]
        assert source in checked[name]["detail"]
    score = next(score for score in run.report["signals"] if score["name"] == "round trips to PostgreSQL, ms")
    assert min(score["measured"], score["truth"]) > 0, score


def test_processes_sockets_and_translations_are_those_of_the_kernel(run: Run) -> None:
    checked = {check["name"]: check for check in run.report["checks"]}
    scores = {score["name"]: score for score in run.report["signals"]}
    for name, source, fewest in (
        ("processes of connections to PostgreSQL", "ss -tp: python", 2),
        ("connections opened by pods", "TcpActiveOpens", 5),
        ("connections accepted by pods", "TcpPassiveOpens", 50),
        ("connections to a Service, each with its backend", "nf_conntrack", 5),
    ):
        assert checked[name]["held"], checked[name]
        assert source in checked[name]["detail"]
        assert min(scores[name]["measured"], scores[name]["truth"]) >= fewest, scores[name]


def test_what_hellos_of_tls_and_quic_said_is_what_both_ends_agreed_on(run: Run) -> None:
    pytest.importorskip("aioquic")
    checked = {check["name"]: check for check in run.report["checks"]}
    scores = {score["name"]: score for score in run.report["signals"]}
    for name, fewest in (
        ("TLS connections: version, name, cipher, ALPN", 3),
        ("QUIC connections: version, name, cipher, ALPN", 1),
    ):
        assert checked[name]["held"], checked[name]
        assert "the TLS libraries at both ends" in checked[name]["detail"]
        assert scores[name]["measured"] == scores[name]["truth"] >= fewest, scores[name]


def test_macs_of_pods_are_those_of_their_devices(run: Run) -> None:
    (check,) = [check for check in run.report["checks"] if check["name"] == "MAC addresses of pods in what they send"]
    (score,) = [score for score in run.report["signals"] if score["name"] == check["name"]]
    assert check["held"], check
    assert score["measured"] == score["truth"] >= 100


def test_icmp_errors_are_those_that_pods_received_and_of_every_kind_that_the_probe_asked_for(run: Run) -> None:
    checked = {check["name"]: check for check in run.report["checks"]}
    for name in ("unreachable", "time exceeded"):
        check = checked[f"ICMP errors to pods: {name}"]
        assert check["held"], check
        assert "IcmpMsgInType" in check["detail"]
    probed = checked["ICMP errors to the path probe, by kind"]
    assert probed["held"], probed
    for kind in ("ttl exceeded", "port unreachable", "fragmentation needed"):
        assert re.search(rf"[1-9]\d* {kind}", probed["detail"]), probed


def test_packets_within_tunnels_are_those_of_the_tunnels_devices_and_count_once(run: Run) -> None:
    checked = {check["name"]: check for check in run.report["checks"]}
    scores = {score["name"]: score for score in run.report["signals"]}
    for name in ("packets within tunnels", "tunnels of the flows within", "packets in tunnels that are counted outside, too"):
        assert checked[name]["held"], checked[name]
    source = scores["packets within tunnels"]["source"]
    for kind in ("vxlan", "geneve", "gre", "ipip"):
        assert kind in source, "played, or said to be missing"
    if "no tunnel" not in source:
        assert scores["packets within tunnels"]["truth"] >= 90, "25 datagrams and their answers, at the devices of two nodes"
        assert scores["tunnels of the flows within"]["measured"] >= 4


def test_every_connection_of_a_sidecar_within_its_pod_is_told(run: Run) -> None:
    name = "connections within a pod, over its loopback"
    score = next(score for score in run.report["signals"] if score["name"] == name)
    assert score["measured"] == score["truth"] > 10, "two sidecars, a question each every 2 s"
    assert f"  ok    {name}" in run.said


def test_nodes_counters_and_packet_heads_are_those_of_the_kernel(run: Run) -> None:
    """One node was made to drop frames, datagrams and connections, and one connection was cut from the past."""
    checked = {check["name"]: check for check in run.report["checks"]}
    scores = {score["name"]: score for score in run.report["signals"]}
    for name, where, source, fewest in (
        ("packets at nodes' devices", "by agents", "/proc/net/dev", 3_000),
        ("packets that nodes' devices dropped", "in the store", "/proc/net/dev", 25),
        ("what found a socket's queue full on nodes", "in the store", "nstat", 10),
        ("packet heads of a connection", "in a capture of the past", "tcpi_segs_out", 40),
    ):
        assert checked[name]["held"], checked[name]
        assert where in checked[name]["detail"]
        assert source in checked[name]["detail"]
        assert min(scores[name]["measured"], scores[name]["truth"]) >= fewest, scores[name]
    assert checked["bytes of a connection's payload among its heads"]["held"]
    assert scores["entries of nodes' connection tracking"]["truth"] > 0


def test_it_printed_the_lines_to_paste(run: Run) -> None:
    for words in (
        f"{run.instance['console_url']}/", "curl http://django-psql-example-flow-demo.apps.localhost:", "curl http://127.0.0.1:",
        "./flowgauge flows 'namespace = flow-demo'", "Ctrl-C", "first named flow after",
    ):  # fmt: skip
        assert words in run.said


def test_get_all_showed_the_applications_objects(run: Run) -> None:
    for words in (
        "pod/django-psql-example-", "pod/postgresql-", "service/postgresql ", "deployment.apps/django-psql-example   2/2",
        "route.route.openshift.io/django-psql-example ",
    ):  # fmt: skip
        assert words in run.objects


def test_nothing_is_left_behind(run: Run) -> None:
    """Namespaces, cgroup, folders, processes, eBPF programs, state file and journal."""
    assert len(run.made.namespaces) > 12
    assert len(run.made.programs) >= 6
    assert run.made.left() == []
    assert run.state_left == []


def test_the_users_own_document_shows_the_database_connection_scaled_with_its_error(tmp_path: Path) -> None:
    """Sampling 1:100 on the uplinks only: figures are estimates within their error, names are right, servers are replaced."""
    document = tmp_path / "flowcollector.yaml"
    document.write_text(USERS_DOCUMENT)
    state = tmp_path / "state"
    state.mkdir()
    run = Run(state, "-f", str(document))
    assert run.failed() == []
    assert run.status == run.right_status(), run.said
    assert "Loki at http://loki.monitoring.svc:3100 is replaced" in run.said
    assert run.report["sampling"] == 100
    assert {account["pod"] for account in run.report["accuracy"]} == {"node-a eth0", "node-b eth0", "node-c eth0"}
    edge = next(edge for edge in run.report["edges"] if edge["dst_port"] == 5432)
    assert (edge["src_owner"], edge["dst_owner"]) == ("django-psql-example", "postgresql")
    assert edge["packets"] % 100 == 0
    assert run.made.left() == []
