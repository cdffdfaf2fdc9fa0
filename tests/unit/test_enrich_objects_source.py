# SPDX-License-Identifier: Apache-2.0
"""The source reads everything before it is ready, follows what comes, and can be read while it writes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from enrich_kit import Flow, batch, ns, pod, texts
from flowgauge.config.model import Enrichment
from flowgauge.demo.objects import networking, workloads
from flowgauge.demo.objects.log import EventLog
from flowgauge.enrich import objects_source
from flowgauge.enrich.kubernetes import KubernetesIndex
from flowgauge.enrich.objects_source import ObjectsSource
from flowgauge.enrich.stage import Enricher
from flowgauge.errors import UsageError
from flowgauge.runtime.component import Component

A, B, VIP, PEER = "10.244.1.2", "10.244.1.3", "10.96.0.9", "203.0.113.10"


def await_true(true: Callable[[], bool]) -> None:
    """Returns once it is, fails after a while in which it never was."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def index() -> KubernetesIndex:
    return KubernetesIndex()


def name_of(index: KubernetesIndex, address: str, at: int) -> str:
    found = Enricher(index, Enrichment())(batch(Flow(address, PEER, start=at, end=at)))
    return texts(found, "src_name")[0]


def test_the_scenes_log_names_flows_at_once_and_as_it_grows(tmp_path: Path, index: KubernetesIndex) -> None:
    log = EventLog(tmp_path / "events.log")
    owner = log.added(workloads.deployment("shop", "web", 1, {"app": "web"}, ns(0)), ns(0))
    template = log.added(workloads.replica_set(owner, "5d8f", ns(0)), ns(0))
    first = log.added(pod(template, "first", A), ns(0))
    source = ObjectsSource(tmp_path / "events.log", index)
    assert isinstance(source, Component)
    assert not source.ready()
    source.start()
    try:
        assert source.ready()
        assert name_of(index, A, 5000) == "first"
        log.deleted(workloads.terminated(first, ns(9000)), ns(9000))
        log.added(pod(template, "second", A, 9100), ns(9100))
        await_true(lambda: source.applied == 5)
        assert name_of(index, A, 9500) == "second"
        assert name_of(index, A, 5000) == "first"
    finally:
        source.stop()
        source.stop()
    assert not source.ready()


def test_malformed_objects_are_counted_named_and_skipped(tmp_path: Path, index: KubernetesIndex) -> None:
    path = tmp_path / "objects.json"
    path.write_text('{"kind": "Pod"}\nno json\n{"kind": "Namespace", "metadata": {"name": "shop"}}\n')
    source = ObjectsSource(path, index)
    source.start()
    source.stop()
    assert (source.applied, source.malformed) == (1, 2)
    assert [(one.line, one.path) for one in source.problems] == [(1, "metadata.name"), (2, "")]
    assert {sample.name: sample.value for sample in source.samples()} == {"objects_changes": 1, "objects_malformed": 2}


def test_a_wrong_path_is_said_in_one_sentence(tmp_path: Path, index: KubernetesIndex) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        ObjectsSource(tmp_path / "typo", index).start()


def test_a_dump_of_kubectl_get_all_is_enough_for_workloads_and_services(tmp_path: Path, index: KubernetesIndex) -> None:
    owner = workloads.deployment("shop", "web", 1, {"app": "web"}, ns(0))
    template = workloads.replica_set(owner, "5d8f", ns(0))
    service = networking.service(
        "shop", "web", address=VIP, ports=[("http", 80, 8080, "TCP")], selector={"app": "web"}, time_ns=ns(0)
    )
    items = [pod(template, "web-5d8f-1", A), service, owner, template]
    path = tmp_path / "all.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=4))
    source = ObjectsSource(path, index)
    source.start()
    source.stop()
    flows = batch(Flow(PEER, A, 33_000, 8080, 5000, 5000), Flow(PEER, VIP, 33_000, 80, 5000, 5000))
    found = Enricher(index, Enrichment())(flows)
    assert texts(found, "dst_owner") == texts(found, "dst_service") == ["web", "web"]
    assert texts(found, "dst_name") == ["web-5d8f-1", "web"]
    assert texts(found, "dst_identity_confidence") == ["likely", "likely"]


def test_readers_see_one_state_while_another_thread_writes(tmp_path: Path, index: KubernetesIndex) -> None:
    """Two pods trade places in a Service again and again: a reader must never see neither or both of them behind it."""
    log = EventLog(tmp_path / "events.log")
    template = workloads.replica_set(workloads.deployment("shop", "web", 2, {"app": "web"}, ns(0)), "5d8f", ns(0))
    pods = [log.added(pod(template, f"web-{address}", address), ns(0)) for address in (A, B)]
    service = networking.service("shop", "web", address=VIP, ports=[("http", 80, 8080, "TCP")], selector={}, time_ns=ns(0))
    log.added(service, ns(0))
    one = log.added(networking.endpoint_slice(service, "x", pods[:1], ns(0)), ns(0))
    source = ObjectsSource(tmp_path / "events.log", index)
    source.start()
    rounds = 300

    def trade() -> None:
        for number in range(1, rounds + 1):
            at = ns(number * 200_000)
            log.modified(networking.with_endpoints(one, [pods[number % 2]]), at)

    writer = threading.Thread(target=trade)
    writer.start()
    enrich = Enricher(index, Enrichment())
    later = [Flow(PEER, address, 33_000, 8080, (rounds + 1) * 200_000, (rounds + 1) * 200_000) for address in (A, B)]
    try:
        while source.applied < rounds + 4:
            assert sorted(texts(enrich(batch(*later)), "dst_service")) == ["", "web"]
    finally:
        writer.join()
        source.stop()
    now = [
        Flow(PEER, A, 33_000, 8080, 200_000 * number + 100_000, 200_000 * number + 100_000)
        for number in range(rounds - 8, rounds)
    ]
    assert texts(enrich(batch(*now)), "dst_service") == [
        "web" if number % 2 == 0 else "" for number in range(rounds - 8, rounds)
    ]


def test_flows_of_a_pod_that_is_as_new_meet_its_name(tmp_path: Path, index: KubernetesIndex) -> None:
    """Its first flows may be there before the follower looks again: whoever names them looks first."""
    log = EventLog(tmp_path / "events.log")
    owner = log.added(workloads.deployment("shop", "web", 1, {"app": "web"}, ns(0)), ns(0))
    template = log.added(workloads.replica_set(owner, "5d8f", ns(0)), ns(0))
    first = log.added(pod(template, "first", A), ns(0))
    source = ObjectsSource(tmp_path / "events.log", index, poll_s=3600.0)
    source.start()
    try:
        enrich = Enricher(index, Enrichment(), catch_up=source.catch_up)
        log.deleted(workloads.terminated(first, ns(9000)), ns(9000))
        log.added(pod(template, "second", A, 9100), ns(9100))
        time.sleep(objects_source._FRESH_S)
        assert texts(enrich(batch(Flow(A, PEER, start=9500, end=9500))), "src_name") == ["second"]
    finally:
        source.stop()
    source.catch_up()
