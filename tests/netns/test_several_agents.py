# SPDX-License-Identifier: Apache-2.0
"""Several agents in one network namespace: each counts every packet once, as the devices do, whatever becomes of the others."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent_kit import agent, collector
from flowgauge.demo.scene import counters, kernel
from node_kit import FAR, FAR6, A, B, TwoPods, settled, transfer, two_pods
from second_agent_kit import SecondAgent, Told, second_agent
from tunnel_kit import PODS, Unavailable, greet, two_nodes
from tunnel_kit import observed as observed_nodes
from tunnel_kit import transfer as through_tunnel

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.slow]

BESIDE = "another_agent_observes"
DEVICES = ("va", "vb", "eth0")
KINDS = {"tcx": True, "clsact": False}
REDIRECT = f"""
table ip nat {{
  chain prerouting {{ type nat hook prerouting priority -100; ip daddr 10.96.0.1 tcp dport 80 dnat to {B}:9000; }}
  chain postrouting {{ type nat hook postrouting priority 100; oifname "eth0" masquerade; }}
}}
"""


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        for place in ("node", *built.netns):
            devices = DEVICES if place == "node" else ("eth0",)
            late = {
                f"{family}/neigh/{device}/delay_first_probe_time": "3600" for family in ("ipv4", "ipv6") for device in devices
            }
            kernel.sysctl(built.netns.get(place, built.node), late)  # no neighbour is asked again while agents start
        settled(built, 1.5)  # until the neighbours' first multicast reports are over
        yield built


def of_everything(node: TwoPods) -> None:
    """Between pods, to a machine beyond the uplink and back, in both families, some of it in fragments."""
    transfer(node, ("a", "b"), (B, 9000), 300_000)
    transfer(node, ("far", "a"), (A, 9000), 300_000)
    for family, address in ((socket.AF_INET, FAR), (socket.AF_INET6, FAR6)):
        with node.socket("a", family, socket.SOCK_DGRAM) as udp:
            for size in (0, 1400, 5000):
                udp.sendto(bytes(size), (address, 5353))


def passed(node: TwoPods, before: dict[str, counters.Traffic]) -> dict[str, int]:
    """Packets that hooks on each device met since then."""
    now = settled(node)
    return {name: now[name].since(before[name]).met for name in DEVICES}


def problems(node: TwoPods, told: Told, devices: dict[str, int]) -> list[str]:
    """What an agent counted otherwise than the devices did."""
    counted = {name: told.packets(node.ifindex(name)) + told.not_ip.get(name, 0) for name in DEVICES}
    found = [f"{name}: {counted[name]}, the device {devices[name]}" for name in DEVICES if counted[name] != devices[name]]
    if told.seen["seen"] != sum(devices.values()):
        found.append(f"seen {told.seen['seen']} of {sum(devices.values())}")
    in_flows = sum(row["packets"] for row in told.rows)
    return found if told.seen["in_flows"] == in_flows else [*found, f"{told.seen['in_flows']} in flows of {in_flows}"]


@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
def test_both_count_what_the_devices_count(node: TwoPods, first: str, second: str) -> None:
    with (
        second_agent(node.node, DEVICES, salt=1, tcx=KINDS[first]) as one,
        second_agent(node.node, DEVICES, salt=1, tcx=KINDS[second]) as other,
    ):
        before = settled(node)
        of_everything(node)
        devices = passed(node, before)
        told = one.told(), other.told()
        left_over = node.run("node", "tc", "filter", "show", "dev", "va", "ingress")
    assert left_over == ""
    assert (one.said, other.said) == ([], [BESIDE])
    assert [problems(node, each, devices) for each in told] == [[], []]
    assert told[0].rows == told[1].rows
    assert devices["va"] > 400


def test_agents_that_give_the_node_different_names_agree_on_its_stamp(node: TwoPods) -> None:
    with second_agent(node.node, DEVICES, salt=17) as one, second_agent(node.node, DEVICES, salt=18) as other:
        before = settled(node)
        of_everything(node)
        devices = passed(node, before)
        told = one.told(), other.told()
    assert [problems(node, each, devices) for each in told] == [[], []]


def test_address_translation_and_super_packets_are_counted_alike() -> None:
    with two_pods(REDIRECT, offloads=True) as built:
        settled(built, 1.5)
        with second_agent(built.node, DEVICES) as one, second_agent(built.node, DEVICES) as other:
            transfer(built, ("a", "b"), ("10.96.0.1", 80), 3_000_000, port=9000)
            transfer(built, ("b", "far"), (FAR, 9001), 3_000_000)
            settled(built)
            told = one.told(), other.told()
    assert told[0].rows == told[1].rows
    assert told[0].seen == told[1].seen
    there = [row for row in told[0].rows if row["src_addr"] == A and row["dst_port"] == 80]
    assert [(row["dst_addr"], row["bytes"] > 3_000_000) for row in there] == [("10.96.0.1", True)]
    assert len(there[0]["observed"]) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_an_agent_that_is_killed_and_starts_again_takes_nothing_from_the_other(node: TwoPods, kind: str) -> None:
    with second_agent(node.node, DEVICES, tcx=KINDS[kind]) as first, second_agent(node.node, DEVICES, tcx=KINDS[kind]) as stays:
        before = settled(node)
        of_everything(node)
        first.kill()
        of_everything(node)
        with second_agent(node.node, DEVICES, tcx=KINDS[kind]) as again:
            between = settled(node)
            of_everything(node)
            devices, since = passed(node, before), passed(node, between)
            told = again.told()
        assert BESIDE in again.said
        assert problems(node, told, since) == []
        assert problems(node, stays.told(), devices) == []


def test_three_agents_share_packets_and_a_fourth_is_warned_that_it_does_not(node: TwoPods) -> None:
    with ExitStack() as stack:
        agents: list[SecondAgent] = [stack.enter_context(second_agent(node.node, DEVICES)) for _ in range(4)]
        before = settled(node)
        of_everything(node)
        devices = passed(node, before)
        told = [one.told() for one in agents]
    assert [one.said[-1:] for one in agents[1:]] == [[BESIDE], [BESIDE], ["too_many_agents_observe"]]
    assert [problems(node, each, devices) for each in told[:2]] == [[], []]
    once = sum(each.seen.get("in_flows", 0) for each in told[2:])
    assert once == told[0].seen["in_flows"], "each packet counts for one of the last two"


@pytest.mark.parametrize("tunnel", ["vxlan", "vxlan over IPv6"])
def test_packets_in_a_tunnel_are_counted_alike_by_both_agents_of_each_node(tunnel: str) -> None:
    with ExitStack() as stack:
        try:
            built = stack.enter_context(two_nodes(tunnel, offloads=False))
        except Unavailable as lacking:
            pytest.skip(f"this kernel has no {tunnel} devices: {lacking}")
        greet(built)
        second = {
            name: stack.enter_context(second_agent(built.netns[name], (device, "eth0", "tun"), salt=number, tunnels=True))
            for number, (name, (_, device, _)) in enumerate(PODS.items(), 1)
        }
        with observed_nodes(built, tunnels=True) as first:
            through_tunnel(built, 300_000)
        for name, agent in second.items():
            ours, theirs = ([row for row in rows if row["proto"] == 6] for rows in (first[name].rows, agent.told().rows))
            assert ours == theirs
            assert [len(row["observed"]) for row in ours] == [3, 3]


def test_an_agent_that_prints_flows_takes_none_from_the_one_that_sends_them(node: TwoPods, tmp_path: Path) -> None:
    """As users meet it: the first has another name for the node than the second."""
    guest = [sys.executable, "-P", "-m", "flowgauge.cli.main", "agent", "--standalone", "--netns", node.node, "-o", "jsonl",
             "--filter", "port = 9000"]  # fmt: skip
    out = tmp_path / "flows.jsonl"
    with collector() as to, ExitStack() as stack:
        words = ["--netns", node.node, "--node", "n1", "--collector", f"127.0.0.1:{to.port}", "--export-interval", "200ms"]
        sends = stack.enter_context(agent([*words, "--http-port", "0"], tmp_path))
        prints = subprocess.Popen(guest, stdout=stack.enter_context(out.open("w")), stderr=subprocess.PIPE, text=True)
        stack.callback(prints.kill)
        assert prints.stderr is not None
        assert "observing" in prints.stderr.readline()
        transfer(node, ("a", "b"), (B, 9000), 1_000_000)
        prints.terminate()
        prints.communicate(timeout=60)
        assert sends.stop() == 0
        stored = [row for row in to.rows() if 9000 in (row["src_port"], row["dst_port"])]
    printed = [json.loads(line) for line in out.read_text().splitlines()]
    for one in ("packets", "bytes"):
        assert sum(row[one] for row in printed) == sum(row[one] for row in stored)
    assert sum(row["bytes"] for row in stored) > 1_000_000
