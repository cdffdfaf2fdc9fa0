# SPDX-License-Identifier: Apache-2.0
"""Nodes that share a kernel stamp packets differently: those that are numbered always, others hardly ever not."""

from __future__ import annotations

import itertools

import pytest

from flowgauge.agent.settings import AgentSettings
from flowgauge.demo.scene.addresses import NODES
from flowgauge.ebpf import stamps
from flowgauge.ebpf.abi_settings import STAMP_AGENTS


def node_of(name: str) -> int:
    """What a node of this name has in the upper bits of its stamps."""
    return int(stamps.first(AgentSettings(node=name).salt).node)


@pytest.mark.parametrize("stem", ["node-", "kind-worker", "", "rack7-"])
def test_numbered_nodes_never_agree(stem: str) -> None:
    assert len({node_of(f"{stem}{number}") for number in range(1, 1000)}) == 999


def test_a_stamp_is_never_none_and_leaves_the_agents_bits_free() -> None:
    nodes = [node_of(name) for name in ("", "a", "worker", "ip-10-0-3-77.internal", "node-99999999999999999999", "Ⅷ", "x²")]
    assert all(0 < node <= 0xFFFF and not node & STAMP_AGENTS for node in nodes)


def test_the_nodes_of_the_demo_differ() -> None:
    assert len({node_of(name) for name, _ in NODES}) == len(NODES)


def test_names_without_numbers_agree_as_rarely_as_there_is_room() -> None:
    letters = ["".join(word) for word in itertools.product("abcdefgh", repeat=3)]
    assert len({node_of(word) for word in letters}) > 380, "512 in 1,023 places: by chance 403"
