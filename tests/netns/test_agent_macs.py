# SPDX-License-Identifier: Apache-2.0
"""Ethernet addresses of flows, as a collector decodes them: those that ``ip link`` shows of the devices they pass first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_capture_agent import AS_IN_A_CONTAINER

from agent_kit import agent, collector, until
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime import linux
from layer3_kit import BEYOND, behind, tun
from node_kit import A6, B6, FAR, A, B, TwoPods, observed, settled, transfer, two_pods
from signal_kit import batch, macs_of

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.slow]

SERVICE = "10.96.0.80"
RULES = f"table ip nat {{ chain to {{ type nat hook prerouting priority dstnat; ip daddr {SERVICE} dnat ip to {B}; }}; }}"
WAYS = {"IPFIX": ("IPFIX", []), "NetFlow v9": ("NetFlow", []), "without eBPF": ("IPFIX", AS_IN_A_CONTAINER)}


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods(RULES) as built:
        yield built


def sent(node: TwoPods, place: str) -> list[tuple[str, str]]:
    """What a frame from a place to its node has."""
    return [(node.mac(place), node.mac("node", node.device(place)))]


def document(folder: Path, protocol: str, features: str) -> str:
    file = folder / "document.yaml"
    file.write_text(f"spec: {{exporter: {{features: [{features}]}}, collector: {{type: {protocol}}}}}")
    return str(file)


def decoded(node: TwoPods, folder: Path, way: str, features: str) -> FlowBatch:
    """What a collector decodes of an agent with these features, after a talk between the pods."""
    protocol, prefix = WAYS[way]
    with linux.in_netns(node.node), collector() as to:
        options = ["-f", document(folder, protocol, features), "--node", "n1", "--collector", f"127.0.0.1:{to.port}",
                   "--http-port", "0", "--export-interval", "60s"]  # fmt: skip
        with agent(options, folder, prefix) as running:
            for address in (B, B6):
                transfer(node, ("a", "b"), (address, 9000), 50_000)
            settled(node)
            assert running.stop() == 0
        until(lambda: any(row["src_addr"] == B6 for row in to.rows()), "flows of b")
        return to.decoded()[0]


@pytest.mark.parametrize("way", WAYS)
def test_the_collector_decodes_the_addresses_of_the_devices(node: TwoPods, tmp_path: Path, way: str) -> None:
    flows = decoded(node, tmp_path, way, "nat, macs")
    for src, dst in ((A, B), (A6, B6)):
        assert set(macs_of(flows, src, dst)) == set(sent(node, "a"))
        assert set(macs_of(flows, dst, src)) == set(sent(node, "b"))
    assert set(flows.array("ether_type").tolist()) == {0x0800, 0x86DD}


@pytest.mark.parametrize("way", ["IPFIX", "without eBPF"])
def test_unless_asked_no_address_leaves_the_node(node: TwoPods, tmp_path: Path, way: str) -> None:
    flows = decoded(node, tmp_path, way, "nat")
    assert len(flows)
    assert not any(flows.array(name).any() for name in ("src_mac", "dst_mac", "ether_type") if name in flows)


def test_a_translated_flow_has_those_of_its_first_device(node: TwoPods) -> None:
    with observed(node, macs=True, cache_sets=0) as watch:
        transfer(node, ("a", "b"), (SERVICE, 9001), 50_000, port=9001)
        settled(node)
        flows = batch(watch.program)
    assert macs_of(flows, A, SERVICE) == sent(node, "a")
    assert macs_of(flows, B, A) == sent(node, "b")


@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="no /dev/net/tun")
def test_what_comes_in_by_a_device_without_addresses_has_none(node: TwoPods) -> None:
    with behind(node, tun()), observed(node, ("va", "link0"), macs=True) as watch:
        transfer(node, ("a", "beyond"), (BEYOND, 9002), 50_000)
        settled(node)
        flows = batch(watch.program)
    assert macs_of(flows, A, BEYOND) == sent(node, "a")
    assert macs_of(flows, BEYOND, A) == [("", "")]


def test_a_machine_beyond_the_uplink_is_told_by_the_frame_that_came(node: TwoPods) -> None:
    with observed(node, macs=True, sampling=2) as watch:
        transfer(node, ("far", "a"), (A, 9003), 300_000)
        settled(node)
        flows = batch(watch.program)
    assert macs_of(flows, FAR, A) == sent(node, "far")
