# SPDX-License-Identifier: Apache-2.0
"""Errors of ICMP and tunnels are scored against what kernels counted: what agrees is held, what does not is not."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flowgauge.demo.acts.tunnels import Tunnel, Tunnelled
from flowgauge.demo.report.icmp_errors import EXCEEDED, PROBED, UNREACHABLE, IcmpErrorsTold, IcmpTruth
from flowgauge.demo.report.score import Score
from flowgauge.demo.report.tunnels import INSIDE, LINKS, TWICE, InTunnels
from flowgauge.demo.scene.counters import IcmpErrors, Traffic
from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.enums import TUNNEL_KIND, code

PROBE, WEB, OUTSIDE = "10.244.1.2", "10.244.2.2", "203.0.113.10"
CLIENT, SERVER, NONE = "10.244.1.5", "10.244.3.5", "::"
FROM_MS = 1_795_727_283_000
NODES = {"n1": "192.168.50.11", "n3": "192.168.50.13"}
_KINDS = {"time_end_ms": np.int64, "packets": np.uint64, "icmp_error_packets": np.uint32, "proto": np.uint8,
          "tunnel_kind": np.uint8, "tunnel_id": np.uint32}  # fmt: skip


def _batch(*rows: dict[str, Any]) -> FlowBatch:
    columns: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name.endswith("_addr"):
            columns[name] = from_texts(values)
        elif isinstance(values[0], str):
            columns[name] = Names.from_strings(values)
        else:
            columns[name] = np.array(values, _KINDS.get(name, np.uint16))
    return FlowBatch(columns)


def _error(kind: str, count: int = 3, *, src: str = PROBE, node: str = "n1", at_ms: int = FROM_MS) -> dict[str, Any]:
    return {"time_end_ms": at_ms, "src_addr": src, "node_reporter": node, "icmp_error": kind, "icmp_error_packets": count}


ERRORS = [
    _error("ttl exceeded"),
    _error("port unreachable", 2),
    _error("port unreachable", 1),
    _error("fragmentation needed", 1),
    _error("host unreachable", 4, src=WEB, node="n2"),
    _error("port unreachable", 1, node="n3"),
    _error("port unreachable", 7, src=OUTSIDE),
    _error("", 0),
]
"""The last but two: as another node saw them on the way; the last but one: to nobody of ours."""
PROBED_OF = {"ttl exceeded": 3, "port unreachable": 3, "fragmentation needed": 1}


def _icmp(
    *rows: dict[str, Any],
    unreachable: int = 8,
    exceeded: int = 3,
    probed: Mapping[str, int] = PROBED_OF,
    later: int = 0,
) -> dict[str, Score]:
    """``later``: so many came unreachable while agents ended."""
    before = IcmpErrors(unreachable, exceeded)
    told = IcmpErrorsTold(
        IcmpTruth({PROBE: "n1", WEB: "n2"}, (before, before.plus(IcmpErrors(later))), (PROBE, FROM_MS), probed)
    )
    for row in rows or ERRORS:
        told.add(_batch(row))
    return {score.name: score for score in told.scores()}


def test_icmp_errors_that_reached_pods_are_held_by_type_and_by_the_probes_kinds() -> None:
    scores = _icmp()
    assert {name: (score.measured, score.truth) for name, score in scores.items()} == {
        UNREACHABLE: (8, 8),
        EXCEEDED: (3, 3),
        PROBED: (7, 7),
    }
    assert all(score.held for score in scores.values())
    assert scores[PROBED].source == "its socket's error queue: 3 ttl exceeded, 3 port unreachable, 1 fragmentation needed"


def test_an_icmp_error_too_few_or_too_many_is_not_held() -> None:
    assert not _icmp(unreachable=9)[UNREACHABLE].held
    assert not _icmp(unreachable=7)[UNREACHABLE].held
    assert not _icmp(exceeded=4)[EXCEEDED].held
    assert _icmp(exceeded=4)[UNREACHABLE].held


def test_an_icmp_error_that_comes_while_agents_end_may_be_told_of_or_not() -> None:
    for already in (6, 7, 8):
        score = _icmp(unreachable=already, later=2)[UNREACHABLE]
        assert (score.truth, score.held) == (already + 2, True)
    assert not _icmp(unreachable=5, later=2)[UNREACHABLE].held
    assert not _icmp(unreachable=9, later=2)[UNREACHABLE].held


def test_an_icmp_error_of_another_kind_than_the_probe_was_told_is_not_held_though_the_sum_is_right() -> None:
    score = _icmp(probed={"ttl exceeded": 2, "port unreachable": 4, "fragmentation needed": 1})[PROBED]
    assert (score.measured, score.truth, score.error, score.held) == (7, 7, 2, False)
    score = _icmp(_error("ttl exceeded", 3))[PROBED]
    assert (score.error, score.held) == (4, False), "two kinds are missing"


def test_what_somebody_probed_from_the_same_pod_before_is_not_of_the_act() -> None:
    scores = _icmp(*ERRORS, _error("ttl exceeded", 5, at_ms=FROM_MS - 1), exceeded=8)
    assert all(score.held for score in scores.values()), scores
    assert scores[PROBED].measured == 7


def _within(kind: str, port: int, packets: int, *, node: str, back: bool = False, told: str | None = None) -> dict[str, Any]:
    """A row of the flow in a tunnel; ``told`` is the kind that it names."""
    ends = list(NODES.values())
    src, dst = (SERVER, CLIENT) if back else (CLIENT, SERVER)
    source, target = reversed(ends) if back else ends
    kind = kind if told is None else told
    return {
        "src_addr": src, "dst_addr": dst, "src_port": port if back else 50_000, "dst_port": 50_000 if back else port,
        "proto": 17, "packets": packets, "node_reporter": node,
        "tunnel_kind": code(TUNNEL_KIND, kind), "tunnel_id": 42 if kind else 0,
        "tunnel_src_addr": source if kind else NONE, "tunnel_dst_addr": target if kind else NONE,
    }  # fmt: skip


def _outer(packets: int, *, proto: int = 17, port: int = 4789, node: str = "n3") -> dict[str, Any]:
    row = _within("vxlan", 7001, packets, node=node, told="")
    return row | {"src_addr": NODES["n1"], "dst_addr": NODES["n3"], "dst_port": port, "proto": proto}


def _ways(kind: str, port: int, packets: int = 5) -> list[dict[str, Any]]:
    """What both nodes tell of both directions; a second row of the first has no tunnel, as in a flow's later packets."""
    rows = [_within(kind, port, packets, node=node, back=back) for node in NODES for back in (False, True)]
    return [*rows[1:], rows[0] | {"packets": packets - 1}, _within(kind, port, 1, node="n1", told="")]


def _tunnelled(*rows: dict[str, Any], kinds: Mapping[str, int], missing: tuple[str, ...] = ()) -> dict[str, Score]:
    client, server = (
        SimpleNamespace(name=name, address=address, place=SimpleNamespace(node=SimpleNamespace(name=node, address=NODES[node])))
        for name, address, node in (("client", CLIENT, "n1"), ("server", SERVER, "n3"))
    )
    carried = {node: Traffic(rx_packets=5, tx_packets=5) for node in NODES}
    tunnels = [Tunnel(kind, port, 42, carried) for kind, port in kinds.items()]
    judge = InTunnels(Tunnelled(client, server, tunnels, missing))  # type: ignore[arg-type]
    judge.add(_batch(*rows))
    return {score.name: score for score in judge.scores()}


def test_packets_within_tunnels_are_those_of_the_devices_of_both_nodes() -> None:
    scores = _tunnelled(*_ways("vxlan", 7001), *_ways("gre", 7003), kinds={"vxlan": 7001, "gre": 7003}, missing=("ipip",))
    assert {name: (score.measured, score.truth) for name, score in scores.items()} == {
        INSIDE: (40, 40),
        LINKS: (8, 8),
        TWICE: (0, 0),
    }
    assert all(score.held for score in scores.values())
    assert scores[INSIDE].source == "rx and tx of the devices of vxlan, gre; this kernel has no ipip"


def test_a_tunnel_of_which_flows_have_nothing_is_not_held() -> None:
    scores = _tunnelled(*_ways("vxlan", 7001), kinds={"vxlan": 7001, "gre": 7003})
    assert (scores[INSIDE].error, scores[INSIDE].held) == (20, False)
    assert (scores[LINKS].error, scores[LINKS].held) == (4, False)


def test_one_packet_too_many_in_one_tunnel_and_one_too_few_in_another_do_not_make_up_for_each_other() -> None:
    rows = [*_ways("vxlan", 7001)[:-1], _within("vxlan", 7001, 2, node="n1"), *_ways("gre", 7003)[:-1]]
    score = _tunnelled(*rows, kinds={"vxlan": 7001, "gre": 7003})[INSIDE]
    assert (score.measured, score.truth, score.error, score.held) == (40, 40, 2, False)


@pytest.mark.parametrize("outer", [_outer(5), _outer(5, proto=47, port=0)], ids=["UDP", "GRE"])
def test_packets_that_count_outside_too_are_not_held(outer: dict[str, Any]) -> None:
    kinds = {"vxlan": 7001, "gre": 7003}
    score = _tunnelled(*_ways("vxlan", 7001), *_ways("gre", 7003), outer, kinds=kinds)[TWICE]
    assert (score.measured, score.held) == (5, False)


def test_packets_between_the_nodes_in_no_tunnel_are_not_counted_outside() -> None:
    scores = _tunnelled(*_ways("vxlan", 7001), _outer(5, port=53), _outer(9, proto=6), kinds={"vxlan": 7001})
    assert scores[TWICE].held


def test_a_flow_that_names_another_tunnel_is_not_held() -> None:
    rows = _ways("vxlan", 7001)
    rows[0] = rows[0] | {"tunnel_id": 43}
    assert (_tunnelled(*rows, kinds={"vxlan": 7001})[LINKS].error) == 1
    silent = [row | {"tunnel_kind": 0} if row["node_reporter"] == "n3" else row for row in _ways("vxlan", 7001)]
    scores = _tunnelled(*silent, kinds={"vxlan": 7001})
    assert (scores[LINKS].error, scores[INSIDE].held) == (2, True)


def test_without_any_device_nothing_is_compared_and_the_report_says_so() -> None:
    scores = _tunnelled(_outer(5), kinds={}, missing=("vxlan", "gre"))
    assert all(score.held and score.truth == 0 for score in scores.values())
    assert scores[INSIDE].source == "rx and tx of the devices of no tunnel; this kernel has no vxlan, gre"
