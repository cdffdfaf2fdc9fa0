# SPDX-License-Identifier: Apache-2.0
"""Live flows through the console: the collector's real tap and HTTP server, passed on as they come."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from agent_kit import until
from console_kit import Collector, Console, running_console
from flowgauge.console.settings import ConsoleSettings
from store_kit import flows


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.stop()


@pytest.fixture
def console(collector: Collector) -> Iterator[Console]:
    settings = ConsoleSettings("http://127.0.0.1:1", "", collector_url=collector.http.url)
    with running_console(settings) as running:
        yield running


def test_events_pass_the_console_filtered_and_with_the_wanted_columns(collector: Collector, console: Console) -> None:
    url = f"{console.url}/api/v1/live?filter={quote('namespace = wanted')}&columns=src_namespace,bytes"
    with urllib.request.urlopen(url, timeout=60) as stream:  # noqa: S310
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert stream.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in stream.headers["Content-Security-Policy"]
        threading.Thread(target=collector.publish_when_watched, args=("other", "wanted")).start()
        rows = []
        while not rows:
            line = stream.readline()
            if line.startswith(b"data: "):
                rows = json.loads(line[6:])["rows"]
    assert rows == [{"src_namespace": "wanted", "bytes": 100}] * 2


def test_the_stream_ends_when_the_collector_does(collector: Collector, console: Console) -> None:
    with urllib.request.urlopen(f"{console.url}/api/v1/live", timeout=60) as stream:  # noqa: S310
        assert stream.readline() == b": open\n"
        collector.publish_when_watched("last")
        collector.stop()
        assert b"last" in stream.read()


def test_a_viewer_that_leaves_is_let_go(collector: Collector, console: Console) -> None:
    with urllib.request.urlopen(f"{console.url}/api/v1/live", timeout=60) as stream:  # noqa: S310
        stream.readline()
        collector.publish_when_watched("seen")

    def let_go() -> bool:
        collector.tap.publish(flows("gone", 2))
        return collector.tap.viewers == 0

    until(let_go, "the collector still serves a viewer that left")


def test_a_collector_that_is_gone_is_a_503_with_a_sentence(collector: Collector, console: Console) -> None:
    collector.stop()
    reply = console.api("live")
    assert reply.status == 503
    assert reply.problem["message"] == "the collector does not answer: Connection refused"
    said = console.api("status").json["collector"]
    assert ("does not answer" in said["problem"], said["silent"]) == (True, True)
    reply = console.api("exporters")
    assert (reply.status, "collector does not answer" in reply.problem["message"]) == (503, True)


def test_a_collector_that_answers_with_an_error_is_not_silent(collector: Collector) -> None:
    settings = ConsoleSettings("http://127.0.0.1:1", "", collector_url=f"{collector.http.url}/elsewhere")
    with running_console(settings) as console:
        said = console.api("status").json["collector"]
    assert (said["answers"], said["silent"]) == (False, False)
    assert "its answer was 404" in said["problem"]


def test_a_console_with_open_streams_stops_at_once(collector: Collector) -> None:
    settings = ConsoleSettings("http://127.0.0.1:1", "", collector_url=collector.http.url)
    with running_console(settings) as console:
        stream = urllib.request.urlopen(f"{console.url}/api/v1/live", timeout=60)  # noqa: S310
        stream.readline()
    stream.read()
    stream.close()
