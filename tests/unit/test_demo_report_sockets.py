# SPDX-License-Identifier: Apache-2.0
"""Sockets, processes and translations are scored against what kernels say: what agrees is held, what does not is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowgauge.demo import sidecars
from flowgauge.demo.report.connections import ACCEPTED, FAILED, OPENED, WITHIN, SocketEvents
from flowgauge.demo.report.owners import Owners
from flowgauge.demo.report.score import Score
from flowgauge.demo.report.translations import TRANSLATED, TWICE, Translations
from flowgauge.demo.scene.counters import Connections
from flowgauge.demo.scene.sockets import RoundTrip
from flowgauge.demo.scene.translations import Translated, parsed
from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.enums import INITIATOR, SOCKET_EVENT, code

WEB, DATABASE, SERVICE, OUTSIDE, LOOPBACK, NONE = "10.244.1.2", "10.244.3.2", "10.96.0.1", "203.0.113.10", "127.0.0.1", "::"
_KINDS = {"time_end_ms": np.int64, "packets": np.uint64, "src_pid": np.uint32, "proto": np.uint8, "duplicate_of": np.uint8,
          "socket_event": np.uint8, "initiator": np.uint8}  # fmt: skip


def _flow(src: str, src_port: int, dst: str, dst_port: int, **changes: Any) -> dict[str, Any]:
    row = {
        "src_addr": src, "src_port": src_port, "dst_addr": dst, "dst_port": dst_port, "proto": 6, "packets": 5,
        "node_reporter": "n1",
        "post_nat_dst_addr": NONE, "time_end_ms": 1_000, "src_pid": 0, "duplicate_of": 0, "socket_event": 0, "initiator": 0,
    }  # fmt: skip
    return row | changes


def _event(kind: str, src: str, src_port: int, dst: str, dst_port: int) -> dict[str, Any]:
    opens = "dst" if kind == "accepted" else "src"
    return _flow(
        src, src_port, dst, dst_port, packets=0, socket_event=code(SOCKET_EVENT, kind), initiator=code(INITIATOR, opens)
    )


def _batch(*rows: dict[str, Any]) -> FlowBatch:
    columns: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name.endswith("_addr"):
            columns[name] = from_texts(values)
        elif name == "node_reporter":
            columns[name] = Names.from_strings(values)
        else:
            columns[name] = np.array(values, _KINDS.get(name, np.uint16))
    return FlowBatch(columns)


def _by_name(scores: Sequence[Score]) -> dict[str, Score]:
    return {score.name: score for score in scores}


def _sockets(counted: Connections, within: int) -> dict[str, Score]:
    """One connection of the web pod from each side, one refused, one accepted from outside; of two over loopback one refused.

    The accepting end sees the backend, the opening one the Service. The last event is of another demo's socket.
    """
    judge = SocketEvents([WEB, DATABASE], counted, within)
    judge.add(_batch(
        _flow(WEB, 50_000, SERVICE, 5432), _flow(DATABASE, 5433, WEB, 50_001), _flow(OUTSIDE, 40_000, WEB, 8080),
        _event("connected", WEB, 50_000, SERVICE, 5432), _event("accepted", DATABASE, 5432, WEB, 50_000),
        _event("failed", WEB, 50_001, DATABASE, 5433), _event("accepted", WEB, 8080, OUTSIDE, 40_000),
        _event("closed", WEB, 50_000, SERVICE, 5432), _event("connected", OUTSIDE, 40_000, WEB, 8080),
        _event("failed", LOOPBACK, 50_000, LOOPBACK, 8081), _event("connected", LOOPBACK, 50_001, LOOPBACK, 8081),
        _event("accepted", LOOPBACK, 8081, LOOPBACK, 50_001), _event("closed", LOOPBACK, 8081, LOOPBACK, 50_001),
        _event("connected", WEB, 60_000, SERVICE, 5432),
    ))  # fmt: skip
    return _by_name(judge.scores())


def test_events_of_sockets_are_compared_with_the_connections_that_kernels_counted() -> None:
    scores = _sockets(Connections(opened=4, accepted=3, failed=2), 2)
    assert {name: (score.measured, score.truth) for name, score in scores.items()} == {
        OPENED: (4, 4), ACCEPTED: (3, 3), FAILED: (2, 2), WITHIN: (2, 2),
    }  # fmt: skip
    assert all(score.held for score in scores.values())


def test_connections_that_no_event_tells_of_are_not_held() -> None:
    scores = _sockets(Connections(opened=14, accepted=13, failed=12), 2)
    assert [(scores[name].error, scores[name].held) for name in (OPENED, ACCEPTED, FAILED)] == [(10, False)] * 3


@pytest.mark.parametrize("opened", [1, 3])
def test_within_pods_every_connection_is_to_be_told_once(opened: int) -> None:
    score = _sockets(Connections(4, 3, 2), opened)[WITHIN]
    assert (score.error, score.held) == (1, False)


def test_what_sidecars_said_at_their_end_is_summed(tmp_path: Path) -> None:
    (tmp_path / "web-1.log").write_text("GET /health\nsidecar: 9 connections\n")
    (tmp_path / "web-2.log").write_text("sidecar: 4 connections\nbye\n")
    (tmp_path / "db-1.log").write_text("sidecar: 100 connections\n")
    assert sidecars.connections(tmp_path, "web") == 13
    assert sidecars.connections(tmp_path, "cache") == 0


def _owners(*pids: int, readings: int = 5) -> list[Score]:
    shown = RoundTrip((WEB, 50_000, SERVICE, 5432), 11_000, 1.0, 1.0, ((77, "python"), (78, "sh")))
    judge = Owners([shown] * readings)
    judge.add(_batch(_flow(WEB, 50_000, SERVICE, 5432), *(_flow(WEB, 50_000, SERVICE, 5432, src_pid=pid) for pid in pids)))
    return judge.scores()


@pytest.mark.parametrize(("pids", "right"), [((77,), True), ((77, 78), True), ((77, 79), False), ((), False)])
def test_a_connections_process_is_one_that_has_its_socket(pids: tuple[int, ...], right: bool) -> None:  # noqa: FBT001
    (score,) = _owners(*pids)
    assert (score.measured, score.truth, score.held) == (int(right), 1, right)
    assert score.source == "ss -tp: python, sh"


def test_a_connection_that_was_shown_once_is_not_asked_for_its_process() -> None:
    assert _owners(readings=1) == []


_TO = {"post_nat_dst_addr": DATABASE}


def _translations(*rows: dict[str, Any]) -> tuple[Score, Score]:
    judge = Translations([Translated("n1", 6, (WEB, 50_000), (SERVICE, 5432), (DATABASE, 5432))])
    judge.add(_batch(*rows))
    translated, twice = judge.scores()
    assert (translated.name, twice.name) == (TRANSLATED, TWICE)
    return translated, twice


def test_a_connection_to_a_service_has_the_backend_that_the_kernel_chose() -> None:
    """Also when an older connection with the same ends had another, and its first packets no translation yet."""
    older = _flow(WEB, 50_000, SERVICE, 5432, time_end_ms=500, post_nat_dst_addr=OUTSIDE)
    first = _flow(WEB, 50_000, SERVICE, 5432, time_end_ms=2_000)
    seen_there = _flow(WEB, 50_000, DATABASE, 5432, duplicate_of=1)
    translated, twice = _translations(_flow(WEB, 50_000, SERVICE, 5432, **_TO), older, first, seen_there)
    assert (translated.measured, translated.truth, translated.held) == (1, 1, True)
    assert (twice.measured, twice.held) == (0, True)


@pytest.mark.parametrize("row", [
    _flow(WEB, 50_000, SERVICE, 5432), _flow(WEB, 50_000, SERVICE, 5432, post_nat_dst_addr=OUTSIDE),
    _flow(WEB, 50_000, SERVICE, 5432, **_TO, node_reporter="n2"), _flow(WEB, 50_001, SERVICE, 5432, **_TO),
], ids=["none", "another backend", "another node", "another port"])  # fmt: skip
def test_a_connection_without_its_backend_is_not_held(row: dict[str, Any]) -> None:
    translated, _ = _translations(row)
    assert (translated.measured, translated.held) == (0, False)


def test_a_connection_that_counts_again_as_one_with_the_backend_is_not_held() -> None:
    translated, twice = _translations(_flow(WEB, 50_000, SERVICE, 5432, **_TO), _flow(WEB, 50_000, DATABASE, 5432))
    assert (translated.held, twice.measured, twice.held) == (True, 1, False)


def test_what_connection_tracking_lists_is_read_and_what_stays_or_was_not_answered_left_out() -> None:
    kept = (
        "ipv4     2 tcp      6 111 TIME_WAIT src=10.244.3.4 dst=10.96.54.32 sport=42314 dport=5432 src=10.244.3.3 "
        "dst=10.244.3.4 sport=5432 dport=42314 [ASSURED] mark=0 zone=0 use=2\n"
        "ipv4     2 udp      17 27 src=10.244.1.3 dst=10.96.0.10 sport=36574 dport=53 src=10.244.2.2 dst=10.244.1.3 sport=53 "
        "dport=36574 mark=0 zone=0 use=2\n"
    )
    left_out = (
        kept.splitlines()[1].replace("src=10.244.2.2", "[UNREPLIED] src=10.244.2.2") + "\n"
        "ipv4     2 tcp      6 91 TIME_WAIT src=10.244.2.3 dst=10.244.3.3 sport=35248 dport=5432 src=10.244.3.3 dst=10.244.2.3 "
        "sport=5432 dport=35248 [ASSURED] mark=0 zone=0 use=2\n"
        "ipv4     2 icmp     1 29 src=10.244.2.3 dst=10.244.3.3 type=8 code=0 id=7 "
        "src=10.244.3.3 dst=10.244.2.3 type=0 code=0 id=7\n"
        "ipv6     10 tcp      6 9 TIME_WAIT src=fd00::1 dst=fd00::2 sport=1 dport=2 src=fd00::3 dst=fd00::1 sport=2 dport=1\n"
    )
    assert list(parsed("n1", kept + left_out)) == [
        Translated("n1", 6, ("10.244.3.4", 42314), ("10.96.54.32", 5432), ("10.244.3.3", 5432)),
        Translated("n1", 17, ("10.244.1.3", 36574), ("10.96.0.10", 53), ("10.244.2.2", 53)),
    ]
