# SPDX-License-Identifier: Apache-2.0
"""The live tap over real HTTP: filtered, cut, bounded; slow viewers lose the oldest and it is counted."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from flowgauge.collector import live as module
from flowgauge.collector.live import LiveTap, Viewer
from flowgauge.runtime.http import HttpServer, Request
from flowgauge.runtime.ledger import Ledger
from flowgauge.schema import filters
from store_kit import flows


class Tapped:
    """A tap behind a server."""

    def __init__(self) -> None:
        self.ledger = Ledger("collector", "x@1")
        self.tap = LiveTap(self.ledger)
        self.server = HttpServer("127.0.0.1", 0, self.tap.routes())
        self.server.start()

    def open(self, query: str = "") -> Stream:
        """A viewer whose stream is open."""
        watching = self.tap.viewers
        stream = Stream(self.server.port, query)
        deadline = time.monotonic() + 60
        while stream.response.status == 200 and self.tap.viewers == watching and time.monotonic() < deadline:
            time.sleep(0.005)
        return stream


class Stream:
    """One client."""

    def __init__(self, port: int, query: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.request("GET", f"/api/v1/live{query}")
        self.response = self.connection.getresponse()

    def event(self) -> dict[str, Any]:
        """The next event; comments are skipped."""
        while not (line := self.response.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
        return json.loads(line.removeprefix(b"data: "))

    def close(self) -> None:
        """As a closed browser tab."""
        self.response.close()
        self.connection.close()


@pytest.fixture
def tapped() -> Iterator[Tapped]:
    running = Tapped()
    yield running
    running.tap.stop()
    running.server.stop()


def test_a_viewer_sees_what_its_filter_passes_in_public_units(tapped: Tapped) -> None:
    stream = tapped.open(f"?filter={quote('src_owner = web and bytes > 150')}&columns=src_owner,bytes,rtt_avg_ns,dst_addr")
    batch = flows("shop", 4, owners=("web", "db"), bytes=[100, 200, 300, 400], rtt_avg_us=7)
    tapped.tap.publish(batch)
    assert stream.event() == {
        "columns": ["src_owner", "bytes", "rtt_avg_ns", "dst_addr"],
        "rows": [{"src_owner": "web", "bytes": 300, "rtt_avg_ns": 7000, "dst_addr": "2001:db8::1"}],
        "matched": 1,
        "skipped": 0,
    }
    stream.close()


def test_marked_duplicates_are_left_out_unless_asked_for(tapped: Tapped) -> None:
    counted, all_of_them = tapped.open("?columns=bytes"), tapped.open("?columns=bytes&duplicates=true")
    tapped.tap.publish(flows("shop", 3, bytes=[1, 2, 3], duplicate_of=[0, 1, 2]))
    assert [row["bytes"] for row in counted.event()["rows"]] == [1]
    assert [row["bytes"] for row in all_of_them.event()["rows"]] == [1, 2, 3]


def test_without_columns_all_that_are_stored_come(tapped: Tapped) -> None:
    stream = tapped.open()
    tapped.tap.publish(flows("shop", 1))
    (row,) = stream.event()["rows"]
    assert {"time_end_ns", "src_addr", "dst_port", "bytes", "src_namespace"} <= row.keys()


def test_an_event_is_cut_and_says_so(tapped: Tapped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EVENT_ROWS", 10)
    stream = tapped.open("?columns=bytes")
    tapped.tap.publish(flows("shop", 25, bytes=list(range(25))))
    event = stream.event()
    assert (event["matched"], event["skipped"]) == (25, 15)
    assert [row["bytes"] for row in event["rows"]] == list(range(15, 25))


def test_a_slow_viewer_loses_the_oldest_and_it_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_ROWS", 100)
    ledger = Ledger("collector", "x@1")
    viewer = Viewer(filters.bound(""), ["bytes"], duplicates=False, ledger=ledger)
    for number in range(5):
        viewer.offer(flows("shop", 40, bytes=number))
    assert ledger.snapshot() == {"live_rows_dropped": 120}
    batch, dropped = viewer.take(0)
    assert batch is not None
    assert (set(batch.array("bytes").tolist()), dropped) == ({3}, 120)
    assert viewer.take(0)[1] == 0
    assert viewer.take(0) == (None, 0)


def test_a_viewer_that_goes_away_is_forgotten(tapped: Tapped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_ALIVE_S", 0.05)
    monkeypatch.setattr(module, "_TICK_S", 0.05)
    stream = tapped.open()
    assert tapped.tap.viewers == 1
    stream.close()
    deadline = time.monotonic() + 60
    while tapped.tap.viewers and time.monotonic() < deadline:
        time.sleep(0.05)
    assert tapped.tap.viewers == 0


def test_there_are_only_so_many_viewers(tapped: Tapped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VIEWERS", 2)
    streams = [tapped.open() for _ in range(3)]
    assert [stream.response.status for stream in streams] == [200, 200, 503]
    assert "2 clients watch already" in json.load(streams[2].response)["error"]["message"]


def test_silence_is_broken_by_comments(tapped: Tapped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_ALIVE_S", 0.05)
    monkeypatch.setattr(module, "_TICK_S", 0.05)
    stream = tapped.open()
    lines = [stream.response.readline() for _ in range(6)]
    assert lines == [b": open\n", b"\n", b": keep-alive\n", b"\n", b": keep-alive\n", b"\n"]


def test_streams_end_when_the_tap_stops(tapped: Tapped) -> None:
    stream = tapped.open()
    threading.Timer(0.1, tapped.tap.stop).start()
    assert stream.response.read() == b": open\n\n"


@pytest.mark.parametrize("query", ["?filter=nonsense+%3D%3D", "?columns=bytes,nothing"])
def test_a_wrong_question_is_answered_with_a_sentence(tapped: Tapped, query: str) -> None:
    stream = tapped.open(query)
    assert stream.response.status == 400
    assert json.load(stream.response)["error"]["message"]


def test_all_that_waits_at_the_end_reaches_the_viewer_whose_server_stops_too() -> None:
    tapped = Tapped()
    stream = tapped.open("?columns=bytes")
    for number in range(50):
        tapped.tap.publish(flows("shop", 1, bytes=number))
    tapped.tap.stop()
    tapped.server.stop()
    events = [line for line in stream.response.read().splitlines() if line.startswith(b"data: ")]
    assert [json.loads(line[6:])["rows"] for line in events] == [[{"bytes": number}] for number in range(50)]


def test_what_waits_when_the_collector_stops_still_goes_out() -> None:
    """The stream has not come back to look for flows: they wait, and then all ends."""
    tap = LiveTap(Ledger("collector", "x@1"))
    body = tap.routes()["/api/v1/live"](Request("/api/v1/live", {}, {}, threading.Event())).body
    assert not isinstance(body, bytes)
    assert next(body) == b": open\n\n"
    for name in ("first", "last"):
        tap.publish(flows(name, 1))
    tap.stop()
    assert [name for event in body for name in ("first", "last") if name.encode() in event] == ["first", "last"]
    assert tap.viewers == 0
