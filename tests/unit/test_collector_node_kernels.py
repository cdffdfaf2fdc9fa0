# SPDX-License-Identifier: Apache-2.0
"""What nodes' kernels count, in the collector's memory: within bounds, and no longer than it is heard."""

from __future__ import annotations

import pytest

from flowgauge.collector import node_kernels
from flowgauge.collector.node_kernels import SILENT_S, NodeKernels


def _values(told: NodeKernels) -> dict[str, dict[str, int]]:
    return {node: {name: one.value for name, one in counters.items()} for node, counters in told.snapshot().items()}


def test_what_a_counter_was_before_it_was_heard_of_is_kept_as_it_was_told_first() -> None:
    told = NodeKernels(lambda: 0.0)
    told.learn("node-a", {"listen_overflows": 7, "device_in_dropped_packets@eth0": 520}, {"device_in_dropped_packets@eth0": 20})
    told.learn(
        "node-a", {"listen_overflows": 9, "device_in_dropped_packets@eth0": 530}, {"device_in_dropped_packets@eth0": 520}
    )
    assert told.snapshot() == {
        "node-a": {"listen_overflows": (9, 7), "device_in_dropped_packets@eth0": (530, 20)},
    }  # fmt: skip


def test_devices_that_are_gone_make_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods come and go, and their devices with them."""
    monkeypatch.setattr(node_kernels, "MAX_COUNTERS", 3)
    clock = [0.0]
    told = NodeKernels(lambda: clock[0])
    told.learn(
        "node-a", {"listen_overflows": 1, "device_in_dropped_packets@veth1": 1, "device_in_dropped_packets@veth2": 1}, {}
    )
    clock[0] += SILENT_S + 1
    told.learn("node-a", {"listen_overflows": 2}, {})
    assert _values(told) == {"node-a": {"listen_overflows": 2}}
    told.learn("node-a", {"device_in_dropped_packets@veth3": 5}, {})
    assert _values(told) == {"node-a": {"listen_overflows": 2, "device_in_dropped_packets@veth3": 5}}


def test_invented_nodes_and_devices_find_an_end_and_what_is_known_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_kernels, "MAX_ALTOGETHER", 10)
    told = NodeKernels(lambda: 0.0)
    told.learn("node-a", {"listen_overflows": 1}, {})
    for number in range(20):
        told.learn(f"invented-{number}", {"listen_overflows": 1, f"device_in_dropped_packets@{number}": 1}, {})
    told.learn("node-a", {"listen_overflows": 2}, {})
    found = _values(told)
    assert sum(map(len, found.values())) == 10
    assert found["node-a"] == {"listen_overflows": 2}


def test_a_node_that_makes_room_gives_its_counters_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_kernels, "MAX_NODES", 2)
    monkeypatch.setattr(node_kernels, "MAX_ALTOGETHER", 2)
    told = NodeKernels(lambda: 0.0)
    for node in ("node-a", "node-b"):
        told.learn(node, {"listen_overflows": 1}, {})
    told.learn("node-c", {}, {})
    told.learn("node-c", {"listen_overflows": 3}, {})
    assert _values(told) == {"node-b": {"listen_overflows": 1}, "node-c": {"listen_overflows": 3}}
