# SPDX-License-Identifier: Apache-2.0
"""On loopback both ends of what a socket tells have their process: of equal ends in one namespace, as both sockets told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowgauge.agent import loopback_ends
from flowgauge.agent.containers import Containers
from flowgauge.agent.options import program_options
from flowgauge.agent.settings import AgentSettings
from flowgauge.ebpf import abi
from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import ColumnData, FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.enums import FLOW_DIRECTION, LOCAL_ENDS, code

UIDS = ("8d1c2f1e-5f3a-4c58-9b1c-2f60a1d7e9b0", "9e1c2f1e-5f3a-4c58-9b1c-2f60a1d7e9b1")
NODE, ONE, OTHER = 0, 4_026_532_001, 4_026_532_002


@pytest.fixture
def groups(tmp_path: Path) -> list[int]:
    """Control groups of a container in each of two pods, by number."""
    paths = [tmp_path / f"pod{uid}" / (digit * 64) for uid, digit in zip(UIDS, "ab", strict=True)]
    for path in paths:
        path.mkdir(parents=True)
    return [path.stat().st_ino for path in paths]


def _event(netns: int, src: tuple[str, int], dst: tuple[str, int], pid: int = 0, cgroup: int = 0) -> Any:
    event = np.zeros(1, abi.SOCKET_EVENT)
    event["netns"], event["key"]["proto"] = netns, 6
    for end, (address, port) in (("src", src), ("dst", dst)):
        event["key"][f"{end}_addr"], event["key"][f"{end}_port"] = from_texts([address]), port
    event["owner"]["pid"], event["owner"]["cgroup"] = pid, cgroup
    return event


def _told(tmp_path: Path, *events: Any) -> dict[str, list[Any]]:
    found: dict[str, ColumnData] = loopback_ends.owners(np.concatenate(events), Containers(tmp_path))
    return {name: column.to_list() if isinstance(column, Names) else column.tolist() for name, column in found.items()}


CLIENT, SERVER = ("127.0.0.1", 40_000), ("127.0.0.1", 8081)


def test_equal_ends_in_two_pods_are_put_together_each_in_its_own(tmp_path: Path, groups: list[int]) -> None:
    found = _told(
        tmp_path,
        _event(ONE, CLIENT, SERVER, 1, groups[0]), _event(OTHER, CLIENT, SERVER, 2, groups[1]),
        _event(OTHER, SERVER, CLIENT, 3, groups[1]), _event(ONE, SERVER, CLIENT, 4, groups[0]),
    )  # fmt: skip
    assert (found["src_pid"], found["dst_pid"]) == ([1, 2, 3, 4], [4, 3, 2, 1])
    assert found["src_pod_uid"] == found["dst_pod_uid"] == [UIDS[0], UIDS[1], UIDS[1], UIDS[0]]
    assert found["dst_container"] == ["a" * 12, "b" * 12, "b" * 12, "a" * 12]


def test_the_process_that_told_last_holds(tmp_path: Path) -> None:
    """A server's worker takes the connection over from whoever listens."""
    found = _told(tmp_path, _event(ONE, SERVER, CLIENT, 8), _event(ONE, CLIENT, SERVER, 1), _event(ONE, SERVER, CLIENT, 9))
    assert found["dst_pid"] == [1, 9, 1]


def test_who_told_nothing_is_of_the_same_pod_but_on_the_nodes_own_loopback(tmp_path: Path, groups: list[int]) -> None:
    found = _told(
        tmp_path,
        _event(ONE, CLIENT, SERVER, 1, groups[0]),
        _event(ONE, SERVER, CLIENT),
        _event(NODE, CLIENT, SERVER, 2, groups[1]),
    )
    assert found["src_pod_uid"] == [UIDS[0], UIDS[0], UIDS[1]]
    assert found["dst_pod_uid"] == [UIDS[0], UIDS[0], ""]


def test_a_namespace_of_several_pods_names_no_end_of_which_nobody_told(tmp_path: Path, groups: list[int]) -> None:
    """That of a host, whose pods are in its network."""
    found = _told(
        tmp_path,
        _event(ONE, CLIENT, SERVER, 1, groups[0]), _event(ONE, ("127.0.0.1", 40_001), SERVER, 2, groups[1]),
        _event(OTHER, CLIENT, SERVER, 3, groups[0]), _event(OTHER, SERVER, CLIENT, 4),
    )  # fmt: skip
    assert found["src_pod_uid"] == [*UIDS, UIDS[0], ""], "a process that is in no pod stays so"
    assert found["dst_pod_uid"] == ["", "", "", UIDS[0]]


def test_ends_with_addresses_of_their_own_are_not_put_together(tmp_path: Path) -> None:
    """What is at the other end there may be another node's, or behind a translation."""
    here, there = ("10.9.1.2", 40_000), ("10.9.2.2", 8081)
    found = _told(tmp_path, _event(NODE, here, there, 1), _event(NODE, there, here, 2))
    assert found["src_pid"] == [1, 2]
    assert "dst_pid" not in found


def test_both_ends_are_here_within_a_pod_and_as_routes_say_elsewhere() -> None:
    events = np.concatenate([_event(ONE, CLIENT, SERVER), _event(NODE, CLIENT, SERVER)])
    none, egress = code(LOCAL_ENDS, "none"), code(FLOW_DIRECTION, "egress")
    rows = FlowBatch({"local_ends": np.full(2, none, np.uint8), "flow_direction": np.full(2, egress, np.uint8)}, 2)
    found = loopback_ends.places(events, rows)
    assert np.asarray(found["local_ends"]).tolist() == [code(LOCAL_ENDS, "both"), none]
    assert np.asarray(found["flow_direction"]).tolist() == [code(FLOW_DIRECTION, "inner"), egress]


@pytest.mark.parametrize("netns", ["", "node-a"])
def test_only_an_agent_of_a_network_namespace_shares_its_kernel_with_other_nodes(netns: str) -> None:
    assert program_options(AgentSettings(node="node-a", netns=netns)).shares_kernel is bool(netns)
