# SPDX-License-Identifier: Apache-2.0
"""The collector between real UDP sockets and the real store: offered = stored + every named loss, whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flowgauge.collector import decode as decode_module
from flowgauge.collector import gatherer as gatherer_module
from flowgauge.collector import listeners as listeners_module
from flowgauge.collector import main as module
from flowgauge.collector.main import CollectorProcess
from flowgauge.collector.settings import CollectorSettings
from flowgauge.config.model import Collector, Enrichment, SubnetLabel
from flowgauge.errors import EnvironmentProblem, InternalError, UsageError
from flowgauge.query.completeness import Completeness, completeness
from flowgauge.runtime import logs
from flowgauge.schema import filters
from flowgauge.schema.flow_query import FlowQuery, Measure
from flowgauge.wire import portions
from ipfix_kit import Exporter, records
from quiet_kit import at_rest
from store_kit import SECRET, StoreProcess, last, running_store

pytestmark = pytest.mark.slow  # whole collectors with a real store, up to a minute in all


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreProcess]:
    """A store of the test's own: to be killed, or because its whole content is compared."""
    with running_store(tmp_path / "store") as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """A store for tests that look only at what their own agents reported."""
    with running_store(tmp_path_factory.mktemp("shared") / "store") as running:
        yield running


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """What was logged until it is called."""
    logs.configure("info", json=True)
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop waits as long as a busy store takes, not only as long as a supervisor does."""
    for name in ("STOP_S", "WRITE_STOP_S", "LEDGER_STOP_S"):
        monkeypatch.setattr(module, name, 60.0)


@contextlib.contextmanager
def collecting(store: StoreProcess, **settings: Any) -> Iterator[CollectorProcess]:
    """A collector that writes to ``store``, stopped at the end."""
    given = {"collector": Collector(port=0), "store_url": store.url, "store_secret": SECRET, "http_port": 0} | settings
    collector = CollectorProcess(CollectorSettings(**given))
    collector.start()
    try:
        yield collector
    finally:
        collector.stop()


class Sending:
    """An agent as seen from its socket; counts what it offers."""

    def __init__(self, collector: CollectorProcess, *, domain: int = 1, node: str = "node-a") -> None:
        self.exporter = Exporter(domain, node, time.time_ns() // 1_000_000)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(collector.address)
        self.offered = 0
        self.send(self.exporter.templates())

    def send(self, *messages: bytes) -> None:
        """Paced as an agent's export is."""
        for number, message in enumerate(messages):
            self.socket.send(message)
            if number % 32 == 31:
                time.sleep(0.002)

    def flows(self, count: int, **more: Any) -> None:
        """Sends that many flows."""
        self.send(*self.exporter.data(records(count, **more)))
        self.offered += count

    def report(self) -> None:
        """Sends the agent's options: its ledger knows what it has offered, the report itself included."""
        self.offered += 1
        self.send(self.exporter.options({"export_records_sent": self.offered, "kernel_packets_seen": 1}))


def stored(store: StoreProcess, where: str = "", *, duplicates: bool = True) -> int:
    """Flows in the store."""
    query = FlowQuery(last(300), filters.bound(where), duplicates=duplicates)
    return int(store.open(retry_s=20.0).query(query).total.values[Measure.FLOWS] or 0)


def read(store: StoreProcess) -> Completeness:
    """Completeness of the last minutes, from the store's ledger."""
    return completeness(store.open(), last(300))


def until(condition: Callable[[], object], timeout_s: float = 90.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def get(collector: CollectorProcess, path: str) -> Any:
    with urllib.request.urlopen(collector.url + path, timeout=60) as answer:  # noqa: S310
        body = answer.read().decode()
    return json.loads(body) if path.startswith("/api") else body


@pytest.mark.usefixtures("patient")
def test_offered_is_stored_plus_every_named_loss(store: StoreProcess) -> None:
    with collecting(store) as collector:
        agents = [Sending(collector, domain=domain, node=f"node-{domain}") for domain in (1, 2, 3)]
        for agent in agents:
            agent.flows(4000)
        lost = agents[0].exporter.data(records(40))  # sent by the agent, eaten by the network
        agents[0].offered += 40
        late = records(30, ended_ms=time.time_ns() // 1_000_000 - 3 * 3600 * 1000)
        agents[1].send(*agents[1].exporter.data(late))
        agents[1].offered += 30
        agents[2].send(b"\x00\x0bnot a flow export", b"", b"\x00\x0a", bytes(1400))
        for agent in agents:
            agent.flows(1000)
            agent.report()
        until(lambda: collector.ledger.snapshot().get("store_rows_written", 0) == 15_000)
    counted = collector.ledger.snapshot()
    assert len(lost) == 2
    assert counted["sequence_gap_records"] == 40
    assert counted["pipeline_late"] == 30
    assert counted["decode_unknown_version"] + counted["decode_error_datagrams"] >= 4
    assert stored(store) == 15_000
    found = read(store)
    assert (found.offered, found.stored, found.lost, found.in_flight) == (15_073, 15_000, 70, 0)
    assert {loss.counter: loss.count for loss in found.losses} == {"sequence_gap_records": 40, "pipeline_late": 30}


@pytest.mark.usefixtures("patient")
def test_kill_9_of_the_store_under_load_costs_no_row_and_doubles_none(store: StoreProcess) -> None:
    with collecting(store) as collector:
        agent = Sending(collector)
        for turn in range(3):
            for _ in range(20):
                agent.flows(500)
                time.sleep(0.02)
            before_, tried = (
                collector.ledger.snapshot().get(f"store_{name}", 0) for name in ("rows_written", "insert_retries")
            )
            store.kill()
            for _ in range(10):
                agent.flows(500)
                time.sleep(0.02)
            assert collector.ready()
            until(lambda: collector.ledger.snapshot().get("store_insert_retries", 0) > tried)  # noqa: B023 - called right here
            store.start()
            assert stored(store) >= before_, f"acknowledged rows are missing after kill {turn + 1}"
        agent.report()
        until(lambda: collector.ledger.snapshot().get("store_rows_written", 0) >= agent.offered - 1, 60)
    assert stored(store) == agent.offered - 1
    assert read(store).in_flight == 0
    assert store.open().status().detached_parts == 0


@pytest.mark.usefixtures("patient")
def test_a_store_that_hangs_pushes_back_and_memory_stays_bounded(store: StoreProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows wait in a queue of bounded length, then datagrams in another; what finds both full is counted by cause."""
    monkeypatch.setattr(module, "WRITE_QUEUE_ROWS_ALONE", 50_000)
    monkeypatch.setattr(module, "DECODED_ROWS", 10_000)
    monkeypatch.setattr(gatherer_module, "MAX_ROWS", 5_000)
    monkeypatch.setattr(portions, "FLOWS", 4_000)  # a decoded batch is never parted: small ones make small segments
    monkeypatch.setattr(listeners_module, "RECEIVE_QUEUE_BYTES", 4 << 20)
    monkeypatch.setattr(gatherer_module, "QUEUE_WAIT_S", 0.2)
    with collecting(store, collector=Collector(port=0, receive_buffer_bytes=212_992)) as collector:
        agent = Sending(collector)
        agent.flows(1000)
        until(lambda: collector.ledger.snapshot().get("store_rows_written", 0) == 1000)
        os.kill(store.pid, signal.SIGSTOP)
        waiting = []
        for _ in range(60):
            agent.flows(4000)
            waiting.append(collector._ready._held)
        until(lambda: collector.ledger.snapshot().get("pipeline_queue_full", 0) > 0)
        os.kill(store.pid, signal.SIGCONT)
        assert max(waiting) <= 50_000
        until(lambda: not collector._ready._held)
        at_rest(collector.ledger.snapshot, 1.0)  # so that there is room for the report
        agent.flows(100)
        agent.report()
        until(lambda: collector.ledger.snapshot().get("decode_options_records", 0) == 1)
    counted = collector.ledger.snapshot()
    losses = counted["pipeline_queue_full"] + counted.get("sequence_gap_records", 0) + counted.get("store_rows_failed", 0)
    assert losses > 0
    assert agent.offered - 1 == counted["store_rows_written"] + losses
    assert stored(store) == counted["store_rows_written"]
    assert read(store).in_flight == 0


def test_a_collector_whose_store_never_came_gives_up_what_it_has_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_STOP_S", 0.5)
    away = StoreProcess(tmp_path)
    away.port = 9  # discard: nobody listens
    with collecting(away) as collector:
        Sending(collector).flows(300)
        until(lambda: collector.ledger.snapshot().get("decode_records", 0) == 300)
        assert collector.ready()
        assert "flowgauge_collector_store_available{" in get(collector, "/metrics")
    assert collector.ledger.snapshot()["store_rows_failed"] == 300


def test_a_store_that_comes_later_gets_everything(tmp_path: Path) -> None:
    with running_store(tmp_path / "store") as store:
        store.kill()
        with collecting(store) as collector:
            Sending(collector).flows(300)
            until(lambda: collector.ledger.snapshot().get("decode_records", 0) == 300)
            store.start()
            until(lambda: collector.ledger.snapshot().get("store_rows_written", 0) == 300)
        assert stored(store) == 300


@pytest.mark.usefixtures("patient")
def test_everything_in_the_socket_is_stored_at_a_stop(shared: StoreProcess) -> None:
    with collecting(shared) as collector:
        agent = Sending(collector, node="node-stopped")
        agent.report()
        agent.flows(20_000)
    assert collector.ledger.snapshot()["store_rows_written"] == 20_000
    assert stored(shared, "node_reporter = node-stopped") == 20_000


def test_a_flow_that_two_agents_saw_counts_once(shared: StoreProcess, tmp_path: Path) -> None:
    nodes = [{"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "creationTimestamp": "2020-01-01T00:00:00Z"},
              "status": {"addresses": [{"type": "InternalIP", "address": address}]}}
             for name, address in (("node-one", "10.0.0.1"), ("node-two", "10.0.0.2"))]  # fmt: skip
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": nodes}))
    one_to_two = {"src": (10 << 24) + 1, "dst": (10 << 24) + 2}
    with collecting(shared, objects=path) as collector:
        first, second = Sending(collector, domain=1, node="node-one"), Sending(collector, domain=2, node="node-two")
        first.report()
        second.report()
        first.flows(50, local_ends="src", **one_to_two)
        second.flows(50, local_ends="dst", **one_to_two)
        until(lambda: collector.ledger.snapshot().get("store_rows_written", 0) == 100)
    between = "src_node = node-one and dst_node = node-two"
    assert stored(shared, between, duplicates=False) == 50
    assert stored(shared, between) == 100
    assert stored(shared, "node_reporter = node-two and duplicate_of = far_end") == 50
    assert collector.ledger.snapshot()["pipeline_duplicates_marked"] == 50


def test_what_it_tells_over_http(shared: StoreProcess) -> None:
    with collecting(shared) as collector:
        agent = Sending(collector)
        agent.flows(100)
        agent.report()
        until(lambda: collector.ledger.snapshot().get("decode_options_records", 0) == 1)
        assert get(collector, "/healthz") == "ok\n"
        assert get(collector, "/readyz") == "ready\n"
        (exporter,) = get(collector, "/api/v1/exporters")
        assert exporter.pop("flows_per_s") > 0
        assert exporter.pop("last_seen_ms") > time.time() * 1000 - 60_000
        assert abs(exporter.pop("clock_skew_ms") or 0) < 5000
        wanted = {
            "exporter_addr": "127.0.0.1", "obs_domain_id": 1, "name": "node-a", "flow_format": "agent", "flows": 100,
            "sampling": 1, "sampling_source": "agent", "waiting_sets": 0, "waiting_s": 0, "advice": "",
        }  # fmt: skip
        assert exporter | wanted == exporter  # what its decoder knows is told a little later, see below
        own, *agents = get(collector, "/api/v1/ledger")["components"]
        assert (own["component"], own["instance"]) == ("collector", collector.ledger.instance)
        assert own["counters"]["decode_records"] == 100
        (told,) = (one for one in agents if one["instance"] == f"node-a@{agent.exporter.started_ms}")
        assert (told["component"], told["counters"]["export_records_sent"]) == ("agent", 101)
        assert 'flowgauge_decode_records_total{component="collector"' in get(collector, "/metrics")


def test_what_exporters_lost_and_lack_is_told_of_each(shared: StoreProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "TELL_S", 0.0)
    with collecting(shared) as collector:
        good, lossy = Sending(collector, domain=1, node="node-a"), Sending(collector, domain=2, node="node-b")
        lacking = Exporter(3, "node-c")
        good.flows(100)
        lossy.flows(100)
        lossy.exporter.data(records(60))  # never sent
        for _ in range(4):
            time.sleep(0.6)  # a gap is a loss when nothing fills it for a while
            good.flows(20)
            lossy.flows(20)
            good.socket.send(lacking.data(records(20))[0])
        good.report()
        lossy.report()
        until(lambda: collector.ledger.snapshot().get("sequence_gap_records", 0) == 60)
        good.flows(20)

        def told() -> dict[int, dict[str, Any]]:
            return {one["obs_domain_id"]: one for one in get(collector, "/api/v1/exporters")}

        until(lambda: told()[2]["lost_records"] and told()[3]["waiting_sets"] == 4)
        found = told()
    assert {domain: one["lost_records"] for domain, one in found.items()} == {1: 0, 2: 60, 3: 0}
    assert (found[1]["templates"], found[1]["advice"]) == (2, "")
    assert "% of its records were lost on the way" in found[2]["advice"]
    assert (found[3]["flows"], found[3]["waiting_sets"]) == (0, 4)


def test_flows_lost_to_a_mistake_of_ours_are_lost_in_the_ledger_and_the_next_are_kept(
    shared: StoreProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting(shared) as collector:
        sending = Sending(collector, domain=7, node="node-seven")
        with monkeypatch.context() as broken:
            broken.setattr(type(collector.reception._thin), "__call__", lambda *_: 1 // 0)
            sending.flows(20)
            until(lambda: collector.ledger.snapshot().get("pipeline_failed", 0) == 20)
        sending.flows(30)
        until(lambda: collector.ledger.snapshot().get("store_rows_written", 0) == 30)


def test_templates_outlive_a_restart(shared: StoreProcess, tmp_path: Path) -> None:
    """The exporter goes on, and does not know that the collector was another one in between."""
    with collecting(shared, data_dir=tmp_path) as collector:
        agent = Sending(collector, node="node-restart")
        agent.report()
        agent.flows(20)
        until(lambda: collector.totals.snapshot().get("decode_records", 0) == 20)
        port = collector.address[1]
    with collecting(shared, data_dir=tmp_path, collector=Collector(port=port)) as collector:
        agent.socket.connect(collector.address)
        agent.flows(40)  # no templates
        until(lambda: collector.totals.snapshot().get("decode_records", 0) == 40)
        assert "decode_unknown_template_sets" not in collector.totals.snapshot()


def test_a_collector_with_a_dead_thread_says_so_and_is_not_ready(shared: StoreProcess) -> None:
    with collecting(shared) as collector:
        collector.check()
        os.close(collector.reception._listeners[0]._socket.descriptor())
        until(lambda: not collector.ready())
        with pytest.raises(InternalError, match="receiver of UDP"):
            collector.check()
        collector.reception._listeners[0]._socket._socket.detach()  # type: ignore[union-attr]
    assert not collector.ready()


def test_a_store_that_comes_later_with_another_secret_ends_the_collector(shared: StoreProcess) -> None:
    port, shared.port = shared.port, 9  # discard: nobody listens
    try:
        with collecting(shared, store_secret="wrong") as collector:
            collector._writer._store._address = replace(collector._writer._store._address, port=port)  # type: ignore[attr-defined]
            until(lambda: not collector.ready())
            with pytest.raises(EnvironmentProblem, match="not its secret"):
                collector.check()
    finally:
        shared.port = port


def test_beyond_loopback_flows_are_not_shown_to_whoever_asks(shared: StoreProcess) -> None:
    with collecting(shared, http_address="0.0.0.0") as collector:
        port = collector.url.rpartition(":")[2]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60) as answer:
            assert answer.read() == b"ready\n"
        for path in ("live", "exporters", "ledger"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=60)


def test_live_flows_have_names_and_units_of_the_edges(shared: StoreProcess) -> None:
    labels = Enrichment(subnet_labels=[SubnetLabel(name="EXT:ten", cidrs=["10.0.0.0/8"])])
    with collecting(shared, collector=Collector(port=0, enrichment=labels)) as collector:
        agent = Sending(collector)
        url = f"{collector.url}/api/v1/live?filter=src_subnet%20%3D%20%22EXT:ten%22&columns=src_addr,src_subnet,time_end_ns"
        with urllib.request.urlopen(url, timeout=60) as stream:  # noqa: S310
            assert stream.readline() == b": open\n"
            agent.flows(10)
            while not (line := stream.readline()).startswith(b"data: "):
                pass
        event = json.loads(line.removeprefix(b"data: "))
        assert event["matched"] == 10
        assert event["rows"][0]["src_subnet"] == "EXT:ten"
        assert event["rows"][0]["time_end_ns"] > time.time_ns() - 60_000_000_000


def test_changed_settings_apply_without_a_restart_or_say_that_they_cannot(
    shared: StoreProcess, log: Callable[[], list[dict[str, Any]]]
) -> None:
    with collecting(shared) as collector:
        agent = Sending(collector)
        agent.flows(10)
        until(lambda: collector.ledger.snapshot().get("store_rows_written", 0) == 10)
        label = SubnetLabel(name="EXT:changed", cidrs=["10.0.0.0/8"])
        changed = Collector(port=4711, deduplicate="Off", enrichment=Enrichment(subnet_labels=[label]))
        collector.apply(replace(collector.settings, collector=changed, log_level="debug"))
        agent.flows(10, local_ends="dst")
        until(lambda: collector.ledger.snapshot().get("store_rows_written", 0) == 20)
    assert [entry["setting"] for entry in log() if entry["event"] == "setting_needs_restart"] == ["collector.port"]
    assert stored(shared, 'src_subnet = "EXT:changed"') == 10


def test_a_wrong_secret_is_told_at_the_start(shared: StoreProcess) -> None:
    settings = CollectorSettings(store_url=shared.url, store_secret="wrong", collector=Collector(port=0), http_port=0)
    collector = CollectorProcess(settings)
    with pytest.raises(EnvironmentProblem, match="not its secret"):
        collector.start()
    collector.stop()


def test_objects_that_are_not_there_are_told_at_the_start(shared: StoreProcess) -> None:
    settings = CollectorSettings(
        store_url=shared.url, store_secret=SECRET, collector=Collector(port=0), http_port=0, objects=Path("/nothing/here")
    )
    collector = CollectorProcess(settings)
    with pytest.raises(UsageError, match="/nothing/here"):
        collector.start()
    collector.stop()
