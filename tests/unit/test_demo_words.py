# SPDX-License-Identifier: Apache-2.0
"""What the demo says: its objects as `oc get` prints them, its lines to paste, its view, its own document, what is missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flowgauge.config.effective import effective
from flowgauge.config.load import load
from flowgauge.config.storage import StorageType
from flowgauge.demo import get_objects, requirements
from flowgauge.demo.invitation import Invitation
from flowgauge.demo.objects import networking, workloads
from flowgauge.demo.objects.log import EventLog
from flowgauge.demo.session import Stopped, StopSignal
from flowgauge.demo.settings import OWN_DOCUMENT, Settings, label_of
from flowgauge.demo.view import PlainView, Snapshot, TerminalView, end_words, size
from flowgauge.errors import EnvironmentProblem, UsageError
from flowgauge.query.crossing import Crossing
from flowgauge.query.topology import TopologyEdge
from flowgauge.store.answer import Addresses

NOW = 1_800_000_000 * 10**9

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


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A web Deployment of two pods, one of them gone again, with Service and Route, and a Secret; all 90 s old."""
    events, then = EventLog(tmp_path / "objects.jsonl"), NOW - 90 * 10**9
    events.added(workloads.namespace("shop", then), then)
    events.added(workloads.node("node-a", "zone-1", "192.0.2.1", "10.0.0.0/24", then), then)
    deployment = events.added(workloads.deployment("shop", "web", 1, {"name": "web"}, then), then)
    replica_set = events.added(workloads.replica_set(deployment, "abc", then), then)
    pods = [
        events.added(
            workloads.pod(replica_set, f"web-abc-{number}", address=f"10.0.0.{number}", node=("node-a", "192.0.2.1"),
                          ports=[("web", 8080, "TCP")], time_ns=then), then)
        for number in (1, 2)
    ]  # fmt: skip
    events.deleted(pods[0], then)
    ports = [("web", 8080, 8080, "TCP")]
    service = networking.service("shop", "web", address="10.96.0.1", ports=ports, selector={"name": "web"}, time_ns=then)
    events.added(service, then)
    events.added(networking.endpoint_slice(service, "xyz", pods[1:], then), then)
    events.added(networking.route(service, "web-shop.apps.localhost", then), then)
    events.added(networking.secret("shop", "web", then), then)
    return events.path


def _tables(log: Path, what: str, namespace: str) -> str:
    return get_objects.as_tables(get_objects.objects(log, what, namespace), what, namespace, NOW)


def test_get_all_prints_what_oc_prints(log: Path) -> None:
    text = _tables(log, "all", "shop")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[:2] == ["NAME READY STATUS RESTARTS AGE", "pod/web-abc-2 1/1 Running 0 90s"]
    assert "service/web ClusterIP 10.96.0.1 <none> 8080/TCP 90s" in lines
    assert "deployment.apps/web 1/1 1 1 90s" in lines
    assert "replicaset.apps/web-abc 1 1 1 90s" in lines
    assert "route.route.openshift.io/web web-shop.apps.localhost web web None 90s" in lines
    assert "web-abc-1" not in text, "it was deleted"
    assert "secret" not in text.lower(), "`get all` leaves secrets out"


def test_get_takes_kinds_by_their_short_names_and_all_namespaces(log: Path) -> None:
    assert _tables(log, "po", "shop").splitlines()[1].split()[0] == "web-abc-2"
    assert _tables(log, "secrets", "").splitlines()[0].split()[:2] == ["NAMESPACE", "NAME"]
    assert "node-a" in _tables(log, "nodes", "shop"), "nodes have no namespace"
    assert _tables(log, "pvc", "shop") == "No resources found in shop namespace."


def test_get_names_a_kind_that_there_is_not(log: Path) -> None:
    with pytest.raises(UsageError, match=r"'potato'.*pods"):
        get_objects.objects(log, "potato", "shop")


def test_get_as_json_is_a_list_of_the_present_objects(log: Path) -> None:
    listed = json.loads(get_objects.as_json(get_objects.objects(log, "pods,svc", "")))
    assert listed["kind"] == "List"
    assert [item["kind"] for item in listed["items"]] == ["Pod", "Service"]


def test_the_demos_own_document_observes_everything_and_is_replaced_nowhere() -> None:
    settings = Settings.of(None)
    spec = settings.spec
    assert (settings.notes, settings.env) == ((), {})
    assert (spec.exporter.sampling, spec.exporter.interfaces, spec.storage.type) == (1, [], StorageType.EMBEDDED)


def test_every_difference_of_the_demos_document_from_the_users_has_a_comment(tmp_path: Path) -> None:
    """Each line that says something else than the user's document is preceded by a comment."""
    theirs = tmp_path / "user.yaml"
    theirs.write_text(USERS_DOCUMENT)
    users = load(theirs).document.spec.model_dump(by_alias=True)
    own = load(OWN_DOCUMENT).document.spec.model_dump(by_alias=True)
    lines = OWN_DOCUMENT.read_text().splitlines()
    changed = {
        key
        for section in ("exporter", "collector", "storage")
        for key in own[section]
        if own[section][key] != users[section][key]
    }
    assert changed == {
        "sampling",
        "interfaces",
        "exportInterval",
        "features",
        "heads",
        "tunnels",
        "address",
        "enrichment",
        "type",
    }
    for key in changed:
        places = [at for at, line in enumerate(lines) if f"{key}:" in line and not line.lstrip().startswith("#")]
        assert any(lines[at - 1].lstrip().startswith("#") for at in places), key


def test_a_document_with_servers_of_its_own_is_told_what_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "user.yaml"
    path.write_text(USERS_DOCUMENT)
    settings = Settings.of(path)
    spec, notes = settings.spec, settings.notes
    assert (spec.storage.type, spec.storage.retention, spec.exporter.sampling) == (StorageType.EMBEDDED, "7d", 100)
    assert any("Loki at http://loki.monitoring.svc:3100 is replaced" in note for note in notes)
    assert any("flow-collector.flow-namespace.svc.cluster.local:2055 is replaced" in note for note in notes)


def test_a_document_without_labels_gets_those_of_the_demo_in_every_part(tmp_path: Path) -> None:
    path = tmp_path / "user.yaml"
    path.write_text(USERS_DOCUMENT)
    settings = Settings.of(path)
    in_a_part = effective(path, environ=settings.env).spec.collector.enrichment
    assert in_a_part == settings.spec.collector.enrichment
    assert [label_of(address, in_a_part) for address in ("203.0.113.10", "198.51.100.23", "192.0.2.1")] == [
        "EXT:clients", "EXT:you", "",
    ]  # fmt: skip


@pytest.mark.parametrize("exporter", ["{enable: false}", "{type: None}"])
def test_a_document_that_lets_nobody_observe_is_refused(tmp_path: Path, exporter: str) -> None:
    path = tmp_path / "blind.yaml"
    path.write_text(f"spec:\n  exporter: {exporter}\n")
    with pytest.raises(UsageError, match="nothing to show"):
        Settings.of(path)


def test_stop_asked_once_ends_in_order_and_asked_twice_at_once() -> None:
    stop = StopSignal()
    stop.refuse_to_go_on(once=True)
    stop.ask()
    stop.refuse_to_go_on(once=False)
    with pytest.raises(Stopped):
        stop.refuse_to_go_on(once=True)
    stop.ask()
    with pytest.raises(Stopped):
        stop.refuse_to_go_on(once=False)


def test_a_missing_program_is_one_sentence_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements.privileges, "missing", lambda *_, **__: [])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnvironmentProblem, match=r"nothing was started: apt-get install .*nftables") as caught:
        requirements.require()
    assert caught.value.exit_status == 3
    assert "\n" not in str(caught.value)


def test_without_quics_library_the_demo_says_what_its_scene_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements.importlib.util, "find_spec", lambda name: None if name == "aioquic" else object())
    assert "no QUIC: the Python package aioquic is not installed" in requirements.without_quic()
    monkeypatch.setattr(requirements.importlib.util, "find_spec", lambda _: object())
    assert requirements.without_quic() == ""


def test_the_lines_to_paste(tmp_path: Path) -> None:
    lines = dict(Invitation("http://127.0.0.1:8055", 8080, tmp_path, "ssh -N …").lines())
    assert lines["console"] == "http://127.0.0.1:8055/"
    assert "http://django-psql-example-flow-demo.apps.localhost:8080/" in lines["click"]
    assert "http://127.0.0.1:8080/" in lines["click"]
    assert lines["ask"] == "./flowgauge flows 'namespace = flow-demo'"
    assert lines["from afar"] == "ssh -N …"
    assert str(os.getpid()) in lines["stop"]


_ASK = "from flowgauge.demo.invitation import ssh_line; print(ssh_line('http://127.0.0.1:8055', 8080))"


def test_the_ssh_line_forwards_both_ports_also_where_sudo_took_the_variable_away() -> None:
    """A parent has SSH_CONNECTION, the demo itself does not."""
    child = f'env -u SSH_CONNECTION SUDO_USER=ada {sys.executable} -c "{_ASK}"; true'
    argv = ["env", "SSH_CONNECTION=192.0.2.9 50000 192.0.2.1 22", "sh", "-c", child]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "ssh -N -L 8055:127.0.0.1:8055 -L 8080:127.0.0.1:8080 ada@192.0.2.1"


def _edge(**changes: Any) -> TopologyEdge:
    values: dict[str, Any] = {
        "src": "flow-demo/Deployment/web", "dst": "flow-demo/Deployment/db", "dst_port": 5432, "asked_ports": (),
        "dst_service": "db", "proto": 6, "bytes": 42_000, "packets": 1234, "flows": 3, "rate_bps": 0.0, "bytes_to_server": 1,
        "bytes_to_client": 1, "retransmits": 0, "drop_packets": 0, "rtt_avg_ns": None, "approx": False, "error": 0.0,
        "troubles": (), "crossing": Crossing.NONE, "src_addrs": Addresses(), "dst_addrs": Addresses(),
    }  # fmt: skip
    return TopologyEdge(**{**values, **changes})


def test_the_live_view_names_both_ends_rates_and_what_was_lost(tmp_path: Path) -> None:
    console = Console(width=120, record=True, force_terminal=True, file=(tmp_path / "out").open("w"))
    view = TerminalView(console)
    view.invite([("console", "http://127.0.0.1:8055/")])
    view.update(
        Snapshot(
            12.0,
            10.0,
            [_edge(), _edge(src="/Subnet/EXT:clients", approx=True, dst_port=8443, asked_ports=(443,))],
            "complete",
            ["store died"],
            "soon",
        )
    )
    view.close()
    text = console.export_text()
    row = next(line for line in text.splitlines() if line.startswith("flow-demo/web"))
    assert row.split() == ["flow-demo/web", "flow-demo/db", "5432", "4.2", "kB", "42", "kB", "1,234"]
    assert "EXT:clients" in text
    assert re.search(r"EXT:clients .* 443 +≈ 4.2 kB", text)
    for words in ("what was lost: complete", "store died", "soon", "http://127.0.0.1:8055/"):
        assert words in text


def test_a_low_window_shows_fewer_conversations_but_every_line_to_paste(tmp_path: Path) -> None:
    console = Console(width=120, height=16, record=True, force_terminal=True, file=(tmp_path / "out").open("w"))
    view = TerminalView(console)
    view.invite([("console", "http://127.0.0.1:8055/"), ("stop", "Ctrl-C")])
    view.update(Snapshot(12.0, 10.0, [_edge(bytes=1000 * number) for number in range(1, 13)], "complete"))
    view.close()
    picture = console.export_text().rpartition("Conversations")[2]
    assert picture.count("flow-demo/web") == 5
    assert "Ctrl-C" in picture


def test_without_a_terminal_there_are_only_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView()
    view.note("running")
    view.update(Snapshot(1.0, 10.0, [_edge()], "complete"))
    view.invite([("stop", "Ctrl-C")])
    view.close()
    assert capsys.readouterr().out == "running\nstop:      Ctrl-C\n"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (812, "812 B"), (4200, "4.2 kB"), (17_400_000, "17 MB"), (2e15, "2000 TB")]
)
def test_sizes_for_people(count: float, text: str) -> None:
    assert size(count) == text


def test_an_end_without_a_namespace_is_its_name() -> None:
    assert [end_words(name) for name in ("a/Deployment/b", "/Subnet/EXT:x", "unknown")] == ["a/b", "EXT:x", "unknown"]
