# SPDX-License-Identifier: Apache-2.0
"""What nodes' kernels count, in the collector's memory: within bounds, and no longer than it is heard."""

from __future__ import annotations

import pytest

from flowgauge.collector import node_kernels
from flowgauge.collector.node_kernels import SILENT_S, NodeKernels


def test_devices_that_are_gone_make_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods come and go, and their devices with them."""
    monkeypatch.setattr(node_kernels, "MAX_COUNTERS", 3)
    clock = [0.0]
    told = NodeKernels(lambda: clock[0])
    told.learn("node-a", {"listen_overflows": 1, "device_in_dropped_packets@veth1": 1, "device_in_dropped_packets@veth2": 1})
    clock[0] += SILENT_S + 1
    told.learn("node-a", {"listen_overflows": 2})
    assert told.snapshot() == {"node-a": {"listen_overflows": 2}}
    told.learn("node-a", {"device_in_dropped_packets@veth3": 5})
    assert told.snapshot() == {"node-a": {"listen_overflows": 2, "device_in_dropped_packets@veth3": 5}}


def test_invented_nodes_and_devices_find_an_end_and_what_is_known_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_kernels, "MAX_ALTOGETHER", 10)
    told = NodeKernels(lambda: 0.0)
    told.learn("node-a", {"listen_overflows": 1})
    for number in range(20):
        told.learn(f"invented-{number}", {"listen_overflows": 1, f"device_in_dropped_packets@{number}": 1})
    told.learn("node-a", {"listen_overflows": 2})
    found = told.snapshot()
    assert sum(map(len, found.values())) == 10
    assert found["node-a"] == {"listen_overflows": 2}


def test_a_node_that_makes_room_gives_its_counters_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_kernels, "MAX_NODES", 2)
    monkeypatch.setattr(node_kernels, "MAX_ALTOGETHER", 2)
    told = NodeKernels(lambda: 0.0)
    for node in ("node-a", "node-b"):
        told.learn(node, {"listen_overflows": 1})
    told.learn("node-c", {})
    told.learn("node-c", {"listen_overflows": 3})
    assert told.snapshot() == {"node-b": {"listen_overflows": 1}, "node-c": {"listen_overflows": 3}}
