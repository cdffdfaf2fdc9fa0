# SPDX-License-Identifier: Apache-2.0
"""Real tunnels between two nodes: whose flows are counted, once each, against the counters of the devices.

A kernel without a kind of device skips it; ``make test-kernels`` has them all.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_kit import Collector, agent, collector, until
from flowgauge.flow import addresses
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.enums import TUNNEL_KIND
from tunnel_kit import (
    DEVICES,
    ENDS,
    PODS,
    WIREGUARD,
    WIREGUARD_PORT,
    A,
    B,
    Counted,
    TwoNodes,
    Unavailable,
    expected_tunnel,
    greet,
    observed,
    stacked_vlans,
    transfer,
    two_nodes,
)

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.slow]


@contextmanager
def made_or_skipped(tunnel: str) -> Iterator[TwoNodes]:
    try:
        with two_nodes(tunnel, offloads=False) as built:
            yield built
    except Unavailable as lacking:
        pytest.skip(f"this kernel has no {tunnel} devices: {lacking}")


@pytest.fixture(params=list(DEVICES))
def nodes(request: pytest.FixtureRequest) -> Iterator[tuple[str, TwoNodes]]:
    with made_or_skipped(request.param) as built:
        greet(built)
        yield request.param, built


def test_the_inner_flow_is_counted_once_on_each_node_with_its_tunnel(nodes: tuple[str, TwoNodes]) -> None:
    name, built = nodes
    with observed(built, tunnels=True) as found:
        transfer(built, 3_000_000)
    one, two = found["one"], found["two"]
    for node, counted in found.items():
        there = counted.between(A, B, proto=6)
        assert counted.sums() == counted.ip(PODS[node][1])
        assert len(there["observed"]) == 3, "the pod's device, the tunnel's, the uplink"
        assert not [row for row in counted.rows if row["proto"] in (4, 41, 47, 17)], "an outer flow beside the inner ones"
        assert counted.counters["seen"] == sum(device.packets for device in counted.devices.values())
        assert counted.counters["in_flows"] == sum(row["packets"] for row in counted.rows)
    assert one.between(A, B)["bytes"] == two.between(A, B)["bytes"]
    for counted in (one, two):
        assert counted.tunnel(A, B) == expected_tunnel(name, "one")
        assert counted.tunnel(B, A) == expected_tunnel(name, "two")


def announced(counted: Counted) -> int:
    """Packets by which nodes announce themselves over IPv6."""
    return sum(row["packets"] for row in counted.rows if row["proto"] in (0, 58))


def test_unless_asked_the_receiver_counts_the_outer_flow(nodes: tuple[str, TwoNodes]) -> None:
    _, built = nodes
    with observed(built) as found:
        transfer(built, 300_000)
    two = found["two"]
    outer = [row for row in two.rows if row["dst_addr"] in ENDS["two"]]
    assert two.counters["in_flows"] == sum(row["packets"] for row in two.rows) == two.ip("eth0")[0]
    assert two.sums(*outer)[0] + two.between(B, A, proto=6)["packets"] == two.counters["in_flows"] - announced(two)
    if not announced(two) and not two.not_ip.get("eth0"):
        uplink = two.devices["eth0"]
        assert two.sums(*outer)[1] == uplink.rx_bytes - 14 * uplink.rx_packets
    assert not len(two.evicted.tunnels)


def test_super_packets_in_a_tunnel_are_counted_as_the_packets_of_the_wire() -> None:
    """30 MB with all offloads on, through a VXLAN device: inner segments of at most 1348 bytes."""
    size, headers, payload = 30_000_000, 52, 1400 - 52
    with two_nodes("vxlan", offloads=True) as built:
        greet(built)
        with observed(built, tunnels=True) as found:
            transfer(built, size)
    for node, counted in found.items():
        row, device = counted.between(A, B, proto=6), counted.devices[PODS[node][1]]
        frames = device.rx_packets if node == "one" else device.tx_packets
        assert frames < size / payload / 2, "the offloads are not on: this proves nothing"
        assert row["packets"] == pytest.approx(size / payload, rel=0.02)
        assert row["bytes"] == pytest.approx((payload + headers) * row["packets"], rel=0.002), "each as long as on the wire"
    assert found["one"].between(A, B)["bytes"] == pytest.approx(found["two"].between(A, B)["bytes"], rel=0.001)


def test_super_packets_that_stay_outside_have_all_headers_in_each_segment() -> None:
    """The receiver's outer flow is the sender's inner one and 50 bytes a packet (20 IP, 8 UDP, 8 VXLAN, 14 Ethernet)."""
    with two_nodes("vxlan", offloads=True) as built:
        greet(built)
        with observed(built) as found:
            transfer(built, 30_000_000)
    inner = found["one"].between(A, B, proto=6)
    outer = [row for row in found["two"].rows if row["dst_port"] == 4789 and row["dst_addr"] == ENDS["two"][0]]
    assert sum(row["packets"] for row in outer) == pytest.approx(inner["packets"], abs=4)
    assert sum(row["bytes"] for row in outer) == pytest.approx(inner["bytes"] + 50 * inner["packets"], rel=0.0005)


def test_an_encrypted_tunnel_is_two_flows_each_counted_once() -> None:
    """WireGuard, a device without a link layer: what it carries is seen there, and what it sends at the uplink."""
    with made_or_skipped(WIREGUARD) as built:
        greet(built)
        with observed(built, tunnels=True) as found:
            transfer(built, 300_000)
    for node, counted in found.items():
        outer = [row for row in counted.rows if row["src_port"] == row["dst_port"] == WIREGUARD_PORT]
        assert counted.sums() == counted.ip(PODS[node][1])
        assert counted.sums(*outer) == counted.ip("eth0")
        assert counted.counters["seen"] == sum(device.packets for device in counted.devices.values())


def test_packets_with_two_vlan_tags_are_counted_once_by_their_own_length() -> None:
    try:
        with stacked_vlans() as built, observed(built, {"a": ["eth0", "q5", "q56"]}) as found:
            transfer(built, 300_000)
    except Unavailable as lacking:
        pytest.skip(f"this kernel has no VLAN devices: {lacking}")
    counted = found["a"]
    there, back = counted.between(A, B, proto=6), counted.between(B, A, proto=6)
    assert counted.sums() == counted.ip_of_vlan("q56")
    assert counted.counters["seen"] == sum(device.packets for device in counted.devices.values())
    assert len(there["observed"]) == len(back["observed"]) == 3
    assert back["vlan_id"] == 5


def test_an_agent_told_so_while_it_runs_sends_the_inner_flow_and_its_tunnel(tmp_path: Path) -> None:
    path = tmp_path / "doc.yaml"

    def document(tunnels: str, port: int) -> None:
        exporter = {"exportInterval": "200ms", "tunnels": tunnels}
        path.write_text(json.dumps({"spec": {"exporter": exporter, "collector": {"address": "127.0.0.1", "port": port}}}))

    with two_nodes("vxlan", offloads=True) as built, collector() as to:
        greet(built)
        document("outer", to.port)
        more = ["--netns", built.netns["two"], "--node", "two", "--http-port", "0"]
        with agent(["-f", str(path), *more], tmp_path) as running:
            transfer(built, 100_000)
            document("inner", to.port)
            running.signal(signal.SIGHUP)
            until(lambda: running.events("settings_applied"), "applied")
            until(lambda: kind_of(to, ENDS["one"][0]), "the outer flow of before")
            assert kind_of(to, ENDS["one"][0]) == {""}
            transfer(built, 100_000)
            until(lambda: kind_of(to, A), "the inner flow")
            assert json.loads(running.get("/api/v1/interfaces"))["features"]["tunnels"] == "on"
            assert running.stop() == 0
        flows, _, _ = to.decoded()
    inner = flows.take((flows.array("dst_port") == 9000) & (flows.array("packets") > 0))
    told = {
        (text(inner, "src_addr", at), TUNNEL_KIND[inner.array("tunnel_kind")[at]], int(inner.array("tunnel_id")[at]),
         text(inner, "tunnel_src_addr", at), text(inner, "tunnel_dst_addr", at))
        for at in range(len(inner))
    }  # fmt: skip
    assert told == {(A, "vxlan", 42, ENDS["one"][0], ENDS["two"][0])}, "in one interval or in several"


def text(flows: FlowBatch, name: str, row: int) -> str:
    """An address of a row."""
    return addresses.to_text(flows.array(name)[row].tobytes())


def kind_of(to: Collector, src: str) -> set[str]:
    """The kinds of tunnel of the flows from ``src`` that the collector has."""
    flows, _, _ = to.decoded()
    return {TUNNEL_KIND[flows.array("tunnel_kind")[row]] for row in range(len(flows)) if text(flows, "src_addr", row) == src}
