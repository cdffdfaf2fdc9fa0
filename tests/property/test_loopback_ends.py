# SPDX-License-Identifier: Apache-2.0
"""Who is at both ends of any events of sockets is what dictionaries of single ends say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgauge.agent import loopback_ends
from flowgauge.agent.containers import Containers
from flowgauge.ebpf import abi
from flowgauge.flow.addresses import from_texts
from flowgauge.flow.names import Names

UIDS = ("8d1c2f1e-5f3a-4c58-9b1c-2f60a1d7e9b0", "9e1c2f1e-5f3a-4c58-9b1c-2f60a1d7e9b1")
LOOPBACK = ("127.0.0.1", "127.9.9.9", "::1")
PROCESSES = {b"nginx": "nginx", b"nginx\0old": "nginx", b"0123456789abcdef": "0123456789abcdef", b"": ""}
"""As the kernel has them, and as they are told."""

ENDS = st.tuples(st.sampled_from([*LOOPBACK, "10.9.1.2"]), st.sampled_from([8081, 40_000]))
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "netns": st.sampled_from([0, 0, 4_026_532_001, 4_026_532_002]),
            "src": ENDS,
            "dst": ENDS,
            "pid": st.integers(0, 3),
            "process": st.sampled_from(sorted(PROCESSES)),
            "pod": st.sampled_from([None, 0, 1]),
        }
    ),
    min_size=1,
    max_size=30,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Control groups of a container in each of two pods."""
    folder = tmp_path_factory.mktemp("cgroup")
    for uid, digit in zip(UIDS, "ab", strict=True):
        (folder / f"pod{uid}" / (digit * 64)).mkdir(parents=True)
    return folder


def _array(events: list[dict[str, Any]], root: Path) -> Any:
    found = np.zeros(len(events), abi.SOCKET_EVENT)
    found["netns"], found["key"]["proto"] = [event["netns"] for event in events], 6
    for end in ("src", "dst"):
        found["key"][f"{end}_addr"] = from_texts([event[end][0] for event in events])
        found["key"][f"{end}_port"] = [event[end][1] for event in events]
    groups = [path.stat().st_ino for path in sorted(root.glob("pod*/*"))]
    found["owner"]["pid"] = [event["pid"] for event in events]
    found["owner"]["cgroup"] = [0 if event["pod"] is None else groups[event["pod"]] for event in events]
    for at, event in enumerate(events):
        found["owner"]["process"][at, : len(event["process"])] = np.frombuffer(event["process"], np.uint8)
    return found


def _pod(event: dict[str, Any] | None) -> str:
    return UIDS[event["pod"]] if event and event["pid"] and event["pod"] is not None else ""


def _expected(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    told = {(one["netns"], one["src"], one["dst"]): one for one in events if one["pid"] and one["src"][0] in LOOPBACK}
    pods: dict[int, set[str]] = {}
    for one in events:
        pods.setdefault(one["netns"], set()).update({_pod(one)} - {""})
    rows = []
    for one in events:
        other = told.get((one["netns"], one["dst"], one["src"])) if one["src"][0] in LOOPBACK else None
        only = next(iter(pods[one["netns"]])) if one["netns"] and len(pods[one["netns"]]) == 1 else ""
        rows.append({
            "src_pid": one["pid"], "src_process": PROCESSES[one["process"]] if one["pid"] else "",
            "src_pod_uid": _pod(one) if one["pid"] else only,
            "dst_pid": other["pid"] if other else 0, "dst_process": PROCESSES[other["process"]] if other else "",
            "dst_pod_uid": _pod(other) if other else only,
        })  # fmt: skip
    return rows


@given(events=EVENTS)
def test_both_ends_are_what_dictionaries_say(root: Path, events: list[dict[str, Any]]) -> None:
    found = loopback_ends.owners(_array(events, root), Containers(root))
    columns = {name: column.to_list() if isinstance(column, Names) else column.tolist() for name, column in found.items()}
    expected = _expected(events)
    assert {"src_pid", "src_process", "src_pod_uid"} <= columns.keys()
    for name in expected[0]:
        absent = 0 if name.endswith("pid") else ""
        assert columns.get(name, [absent] * len(events)) == [row[name] for row in expected], name
