# SPDX-License-Identifier: Apache-2.0
"""Hellos in flows against what both ends agreed on: each thing that can be wrong costs the connection its point."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowgauge.demo.acts.payments import Handshake, Handshakes, asked, parsed
from flowgauge.demo.report.handshakes import OVER_QUIC, OVER_TLS, HandshakeJudge
from flowgauge.demo.report.score import Score
from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names

CLIENT, GATEWAY, SERVICE, NAME = "10.244.1.9", "10.244.3.9", "10.96.44.43", "pay.svc"
OLD = Handshake("tcp", (CLIENT, 20_000), "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", NAME, "http/1.1")
NEW = Handshake("tcp", (CLIENT, 20_001), "TLSv1.3", "TLS_AES_256_GCM_SHA384", NAME, "http/1.1")
QUIC = Handshake("udp", (CLIENT, 20_002), "TLSv1.3", "TLS_AES_256_GCM_SHA384", NAME, "h3", 0x6B3343CF)
WORDS = {
    OLD: {"tls_version": "TLS 1.2", "tls_cipher": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "tls_alpn": "http/1.1"},
    NEW: {"tls_version": "TLS 1.3", "tls_cipher": "TLS_AES_256_GCM_SHA384", "tls_alpn": "http/1.1"},
    QUIC: {"quic_version": "2", "tls_version": "TLS 1.3", "tls_cipher": "TLS_AES_256_GCM_SHA384", "tls_alpn": "h3"},
}
NOTHING = dict.fromkeys(("tls_version", "tls_server_name", "tls_cipher", "tls_alpn", "quic_version"), "")


def _flow(one: Handshake, observer: str, *, back: bool = False, **changes: Any) -> dict[str, Any]:
    ends = [one.client, (SERVICE, 443)]
    (src, src_port), (dst, dst_port) = reversed(ends) if back else ends
    return {
        "src_addr": src, "src_port": src_port, "dst_addr": dst, "dst_port": dst_port,
        "proto": {"tcp": 6, "udp": 17}[one.proto], "packets": 5, "node_reporter": observer,
        **NOTHING, "tls_server_name": NAME, **WORDS[one], **changes,
    }  # fmt: skip


def _flows(*which: Handshake) -> list[dict[str, Any]]:
    """As both nodes tell of them, each direction."""
    return [_flow(one, observer, back=back) for one in which for observer in ("n1", "n3") for back in (False, True)]


def _scores(
    rows: list[dict[str, Any]], client: list[Handshake], server: list[Handshake] | None = None, due: Collection[str] = ()
) -> dict[str, Score]:
    judge = HandshakeJudge(Handshakes(client, client if server is None else server, due))
    for half in (rows[::2], rows[1::2]):
        columns: dict[str, Any] = {}
        for name in rows[0] if half else ():
            values = [row[name] for row in half]
            if name.endswith("_addr"):
                columns[name] = from_texts(values)
            elif isinstance(values[0], str):
                columns[name] = Names.from_strings(values)
            else:
                columns[name] = np.array(values, {"proto": np.uint8, "packets": np.uint64}.get(name, np.uint16))
        if columns:
            judge.add(FlowBatch(columns))
    return {score.name: score for score in judge.scores()}


def test_connections_of_which_every_observer_tells_what_was_agreed_on_are_right() -> None:
    scores = _scores(_flows(OLD, NEW, QUIC), [OLD, NEW, QUIC])
    assert {name: (score.measured, score.truth, score.held) for name, score in scores.items()} == {
        OVER_TLS: (2, 2, True), OVER_QUIC: (1, 1, True),
    }  # fmt: skip


def test_a_flow_of_before_the_servers_hello_may_say_less() -> None:
    early = [_flow(OLD, "n1", tls_version="", tls_cipher="", tls_alpn=""), _flow(NEW, "n3", **NOTHING)]
    assert _scores([*early, *_flows(OLD, NEW)], [OLD, NEW])[OVER_TLS].held


@pytest.mark.parametrize(
    "wrong",
    [
        {"tls_server_name": "other.svc"}, {"tls_version": "TLS 1.3"}, {"tls_cipher": "TLS_AES_128_GCM_SHA256"},
        {"tls_alpn": "h2"},
    ],
)  # fmt: skip
def test_one_flow_that_says_another_thing_makes_its_connection_wrong(wrong: dict[str, str]) -> None:
    score = _scores([*_flows(OLD, NEW), _flow(OLD, "n1", **wrong)], [OLD, NEW])[OVER_TLS]
    assert (score.measured, score.error, score.held) == (1, 1, False)


@pytest.mark.parametrize("wrong", [{"quic_version": "1"}, {"tls_server_name": ""}, {"tls_cipher": ""}])
def test_an_observer_that_never_says_all_of_a_connection_over_quic_makes_it_wrong(wrong: dict[str, str]) -> None:
    rows = [*_flows(QUIC)[1:], _flow(QUIC, "n1", **wrong)]
    assert not _scores(rows, [QUIC])[OVER_QUIC].held


def test_a_connection_without_flows_or_with_those_of_one_direction_is_wrong() -> None:
    assert _scores(_flows(NEW), [OLD, NEW])[OVER_TLS].error == 1
    assert _scores([_flow(OLD, "n1"), *_flows(NEW)], [OLD, NEW])[OVER_TLS].error == 1
    assert _scores([], [OLD, NEW])[OVER_TLS].error == 2


def test_where_duplicates_are_dropped_one_observer_of_each_direction_is_enough() -> None:
    assert _scores([_flow(OLD, "n1"), _flow(OLD, "n3", back=True)], [OLD])[OVER_TLS].held


def test_rows_without_packets_are_none_of_the_scene() -> None:
    stranger = _flow(OLD, "n1", tls_server_name="other.svc", packets=0)
    assert _scores([stranger, *_flows(OLD)], [OLD])[OVER_TLS].held


def test_ends_that_do_not_agree_make_a_connection_wrong_and_one_that_the_client_gave_up_does_not_count() -> None:
    rows = _flows(OLD, NEW)
    assert _scores(rows, [OLD, NEW], [OLD, replace(NEW, cipher="TLS_AES_128_GCM_SHA256")])[OVER_TLS].error == 1
    assert _scores(rows, [OLD, NEW], [OLD])[OVER_TLS].error == 1
    assert (_scores(rows, [OLD], [OLD, NEW])[OVER_TLS].truth, OVER_QUIC in _scores(rows, [OLD])) == (1, False)


def test_of_a_port_that_came_back_every_connection_must_be_told() -> None:
    again = replace(NEW, client=OLD.client)
    later = [
        row | {"src_port": row["src_port"] - 1} if row["src_addr"] == CLIENT else row | {"dst_port": row["dst_port"] - 1}
        for row in _flows(NEW)
    ]
    assert _scores([*_flows(OLD), *later], [OLD, again])[OVER_TLS].held
    assert _scores(_flows(OLD), [OLD, again])[OVER_TLS].measured == 0


def test_where_no_payment_was_answered_the_line_is_there_and_fails() -> None:
    scores = _scores([], [], due={"tcp", "udp"})
    assert {name: (score.held, score.where) for name, score in scores.items()} == dict.fromkeys(
        (OVER_TLS, OVER_QUIC), (False, "in flows (no payment was answered)")
    )
    some = _scores(_flows(OLD), [OLD], due={"tcp", "udp"})
    assert {name: score.held for name, score in some.items()} == {OVER_TLS: True, OVER_QUIC: False}
    assert _scores([], []) == {}


def test_what_was_asked_for_is_in_the_checkouts_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("asks tcp\nTraceback\nasks tcp\nasks ud")
    assert asked(log) == {"tcp"}


def test_lines_of_a_log_are_connections_and_other_words_and_what_is_not_yet_written_are_not(tmp_path: Path) -> None:
    said = {"proto": "udp", "client": list(QUIC.client), "version": QUIC.version, "cipher": QUIC.cipher, "sni": NAME}
    log = tmp_path / "log"
    log.write_text(f"Traceback\n{json.dumps({**said, 'alpn': 'h3', 'quic': QUIC.quic})}\n" + '{"proto": "tcp", "cli')
    assert list(parsed(log)) == [QUIC]
