# SPDX-License-Identifier: Apache-2.0
"""Address translation by the node: flows have the tuple that the application used, and beside it what became of it.

The witnesses: which end the receiver saw, and conntrack's own entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ebpf_kit import loaded
from flowgauge.config.model import Enrichment
from flowgauge.ebpf import flow_program
from flowgauge.enrich.kubernetes import KubernetesIndex
from flowgauge.enrich.stage import Enricher
from flowgauge.flow import addresses
from flowgauge.flow.batch import FlowBatch
from node_kit import A6, B6, FAR, FAR6, A, B, Observed, TwoPods, observed, transfer, two_pods

pytestmark = [pytest.mark.root, pytest.mark.bpf]

KERNEL_TYPES = Path("/sys/kernel/btf/vmlinux")
SERVICE, SERVICE6 = "10.96.0.80", "fd00:96::80"
RULES = f"""
table inet svc {{
  chain translate {{
    type nat hook prerouting priority dstnat;
    ip daddr {SERVICE} tcp dport 80 dnat ip to {B}:8080
    ip daddr {SERVICE} tcp dport 81 dnat ip to {FAR}:8080
    ip daddr 10.96.0.99 dnat ip to {B}
    ip6 daddr {SERVICE6} tcp dport 80 dnat ip6 to [{B6}]:8080
    ip6 daddr {SERVICE6} tcp dport 81 dnat ip6 to [{FAR6}]:8080
    tcp dport 82 redirect to 8082
  }}
  chain hide {{
    type nat hook postrouting priority srcnat;
    oifname "eth0" tcp dport 9443 masquerade
  }}
}}
"""


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods(RULES) as built:
        yield built


def counted(watch: Observed) -> list[dict[str, Any]]:
    """Each flow with what became of it; empty texts and 0 where an end stayed."""
    watch.detach()
    entries = watch.program.evict()
    after = watch.program.translations(entries.keys)
    return [
        {
            "src": addresses.to_text(entries.keys["src_addr"][row].tobytes()),
            "dst": addresses.to_text(entries.keys["dst_addr"][row].tobytes()),
            "src_port": int(entries.keys["src_port"][row]),
            "dst_port": int(entries.keys["dst_port"][row]),
            "packets": int(entries.values["packets"][row]),
            "post_src": (addresses.to_text(after.src_addr[row].tobytes()), int(after.src_port[row])),
            "post_dst": (addresses.to_text(after.dst_addr[row].tobytes()), int(after.dst_port[row])),
            "observed": np.count_nonzero(entries.values["observed"][row]),
        }
        for row in range(len(entries))
    ]


def flow(rows: list[dict[str, Any]], src: str, dst: str) -> dict[str, Any]:
    found = [row for row in rows if (row["src"], row["dst"]) == (src, dst)]
    assert len(found) == 1, rows
    return found[0]


STAYED = ("", 0)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("place", "port"), [("b", 80), ("far", 81)], ids=["on this node", "on another"])
def test_a_service_has_its_own_address_and_its_backend(node: TwoPods, version: int, place: str, port: int) -> None:
    client, service = (A, SERVICE) if version == 4 else (A6, SERVICE6)
    backend = {("b", 4): B, ("b", 6): B6, ("far", 4): FAR, ("far", 6): FAR6}[place, version]
    with observed(node) as watch:
        done = transfer(node, ("a", place), (service, port), 200_000, port=8080)
        rows = counted(watch)
    there, back = flow(rows, client, service), flow(rows, backend, client)
    assert (there["src_port"], there["dst_port"]) == (done.sender[1], port)
    assert there["post_dst"] == (backend, 8080)
    assert there["post_src"] == STAYED
    assert back["post_src"] == (service, port)
    assert back["post_dst"] == STAYED
    assert there["observed"] == back["observed"] == 2
    assert not [row for row in rows if (row["src"], row["dst"]) in {(client, backend), (service, client)}]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("place", "port"), [("b", 80), ("far", 81)], ids=["on this node", "on another"])
def test_both_directions_are_known_by_both_numbers_of_the_port(node: TwoPods, version: int, place: str, port: int) -> None:
    with observed(node) as watch:
        done = transfer(node, ("a", place), (SERVICE if version == 4 else SERVICE6, port), 1000, port=8080)
        watch.detach()
        entries = watch.program.evict()
        after = watch.program.translations(entries.keys)
    ends = {
        name: np.ascontiguousarray(entries.keys[name]) for name in ("src_addr", "dst_addr", "src_port", "dst_port", "proto")
    }
    translated = {f"post_nat_{name}": getattr(after, name) for name in ("src_addr", "dst_addr", "src_port", "dst_port")}
    times = {"time_end_ms": np.zeros(len(entries), np.int64), "duration_ms": np.zeros(len(entries), np.uint32)}
    found = Enricher(KubernetesIndex(), Enrichment())(FlowBatch(ends | translated | times))
    mine = (found.array("src_port") == done.sender[1]) | (found.array("dst_port") == done.sender[1])
    assert sorted(found.array("src_port")[mine].tolist()) == sorted([done.sender[1], 8080])
    assert found.array("service_port")[mine].tolist() == [port] * 2
    assert found.array("target_port")[mine].tolist() == [8080] * 2


def test_an_uplink_alone_still_tells_the_services_address(node: TwoPods) -> None:
    """interfaces: [eth0]: there the packet is translated already, and connection tracking tells what it was."""
    with observed(node, ["eth0"]) as watch:
        done = transfer(node, ("a", "far"), (SERVICE, 81), 200_000, port=8080)
        rows = counted(watch)
    there = flow(rows, A, SERVICE)
    assert (there["src_port"], there["dst_port"], there["post_dst"]) == (done.sender[1], 81, (FAR, 8080))
    assert there["packets"] > 100
    assert not [row for row in rows if (row["src"], row["dst"]) == (A, FAR)]


def test_a_masqueraded_connection_has_the_address_that_the_world_sees(node: TwoPods) -> None:
    with observed(node) as watch:
        done = transfer(node, ("a", "far"), (FAR, 9443), 10_000)
        rows = counted(watch)
    there, back = flow(rows, A, FAR), flow(rows, FAR, "10.9.3.1")
    assert there["post_src"] == done.seen_as == ("10.9.3.1", done.seen_as[1])
    assert there["post_dst"] == STAYED
    assert back["post_dst"] == done.sender
    assert back["post_src"] == STAYED


@pytest.mark.parametrize("version", [4, 6])
def test_a_service_of_the_node_itself_is_one_conversation(node: TwoPods, version: int) -> None:
    """As the API server's on its own node: no hook sees a request behind its translation, nor an answer before it."""
    client, service, gateway = (A, SERVICE, "10.9.1.1") if version == 4 else (A6, SERVICE6, "fd00:1::1")
    with observed(node) as watch:
        done = transfer(node, ("a", "node"), (service, 82), 200_000, port=8082)
        rows = counted(watch)
    there, back = flow(rows, client, service), flow(rows, gateway, client)
    assert (there["src_port"], there["dst_port"]) == (done.sender[1], 82)
    assert (there["post_src"], there["post_dst"]) == (STAYED, (gateway, 8082))
    assert (back["src_port"], back["dst_port"]) == (8082, done.sender[1])
    assert (back["post_src"], back["post_dst"]) == ((service, 82), STAYED)
    assert not [row for row in rows if (row["src"], row["dst"]) in {(client, gateway), (service, client)}]


def test_a_ping_to_a_translated_address(node: TwoPods) -> None:
    with observed(node) as watch:
        node.run("a", "ping", "-q", "-c", "3", "-i", "0.05", "10.96.0.99")
        rows = counted(watch)
    there, back = flow(rows, A, "10.96.0.99"), flow(rows, B, A)
    assert (there["packets"], back["packets"]) == (3, 3)
    assert there["post_dst"] == (B, 0)
    assert back["post_src"] == ("10.96.0.99", 0)


def test_what_is_not_translated_has_nothing_beside_it(node: TwoPods) -> None:
    with observed(node) as watch:
        transfer(node, ("a", "b"), (B, 9000), 1000)
        rows = counted(watch)
    assert {(row["post_src"], row["post_dst"]) for row in rows} == {(STAYED, STAYED)}


def test_without_the_feature_there_is_no_translation(node: TwoPods) -> None:
    with observed(node, nat=False) as watch:
        transfer(node, ("a", "b"), (SERVICE, 80), 1000, port=8080)
        rows = counted(watch)
        assert watch.program.features()["nat"] == "off"
    assert flow(rows, A, SERVICE)["post_dst"] == STAYED


@pytest.mark.tool("conntrack")
def test_conntrack_itself_agrees(node: TwoPods) -> None:
    with observed(node) as watch:
        done = transfer(node, ("a", "b"), (SERVICE, 80), 1000, port=8080)
        entry = node.run("node", "conntrack", "-L", "-p", "tcp", "--orig-port-src", str(done.sender[1]))
        there = flow(counted(watch), A, SERVICE)
    backend, port = there["post_dst"]
    assert f"src={backend} dst={A} sport={port} dport={done.sender[1]}" in entry


@pytest.fixture
def types_without(tmp_path: Path) -> Callable[[bytes], Path]:
    """Makes the types of a kernel in which a name does not occur, as where connection tracking is a module not loaded."""

    def make(name: bytes) -> Path:
        with KERNEL_TYPES.open("rb") as kernel_types:  # sysfs gives no size, so read_bytes would not do
            content = kernel_types.read()
        path = tmp_path / "btf"
        path.write_bytes(content.replace(b"\0" + name + b"\0", b"\0" + name[:-1] + b"X\0"))
        return path

    return make


@pytest.mark.parametrize("absent", [b"nf_conn", b"_nfct", b"tuplehash"])
def test_a_kernel_that_does_not_know_connection_tracking_takes_the_program(
    node: TwoPods, types_without: Callable[[bytes], Path], absent: bytes
) -> None:
    with observed(node, btf=types_without(absent)) as watch:
        assert watch.program.features()["nat"].startswith("not visible")
        transfer(node, ("a", "b"), (SERVICE, 80), 1000, port=8080)
        rows = counted(watch)
    assert flow(rows, A, SERVICE)["post_dst"] == STAYED


def test_connection_tracking_that_is_loaded_later_is_noticed(
    types_without: Callable[[bytes], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "nf_conntrack"
    monkeypatch.setattr(flow_program, "CONNTRACK_BTF", module)
    with loaded(btf=types_without(b"nf_conn")) as program, loaded() as seeing, loaded(nat=False) as not_asked:
        assert not program.outdated()
        module.touch()
        assert program.outdated()
        assert not seeing.outdated()
        assert not not_asked.outdated()


def test_this_kernel_shows_translation(node: TwoPods) -> None:
    with loaded() as program:
        assert program.features()["nat"] == "on"
