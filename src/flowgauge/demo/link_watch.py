# SPDX-License-Identifier: Apache-2.0
"""Reads what agents tell of their nodes, and the nodes' kernels around it, for the report. Used by one thread."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from flowgauge.demo import http_json
from flowgauge.demo.report import link_level
from flowgauge.demo.report.link_level import NodeTold
from flowgauge.demo.report.score import Score
from flowgauge.demo.scene.counters import Traffic
from flowgauge.demo.scene.node_counters import Counted, counted
from flowgauge.demo.scene.nodes import Node
from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime.clock import now_ns
from flowgauge.schema.flow_query import Window
from flowgauge.store.store import KERNEL, FlowStore

_STORED_WITHIN_S = 20.0
"""The collector writes what it was told every two seconds; a busy machine later."""
_POLL_S = 0.2

_Asked = tuple[Counted, Mapping[str, Traffic], Counted]


class LinkWatch:
    """``ask`` while agents run and all is quiet, ``scores`` once they have ended.

    Args:
        nodes: of the scene.
        agent_urls: node → base URL of its agent.
    """

    def __init__(self, nodes: Sequence[Node], agent_urls: Mapping[str, str]) -> None:
        self._nodes, self._agent_urls = nodes, agent_urls
        self._asked: dict[str, _Asked] = {}

    def ask(self) -> None:
        """Asks every agent of its node's devices, and their kernels before and after."""
        for node in self._nodes:
            self._asked[node.name] = counted(node), _devices(self._agent_urls[node.name]), counted(node)

    def scores(self, store: FlowStore, since_ms: int) -> list[Score]:
        """What the store holds once it holds what is so, or when that did not come in time; raises what the store raises.

        It is asked for all since ``since_ms`` until the moment of each question: what is written later is told of later.
        """
        ended = {node.name: counted(node) for node in self._nodes if node.name in self._asked}
        deadline = time.monotonic() + _STORED_WITHIN_S
        while True:
            stored = _stored(store, Window(since_ms, now_ns() // 1_000_000 + 1000))
            found = link_level.scores(
                [NodeTold(*self._asked[name], last, stored.get(name, {})) for name, last in ended.items()]
            )
            if all(score.held for score in found if score.name in link_level.CHECKED) or time.monotonic() > deadline:
                return found
            time.sleep(_POLL_S)


def _devices(agent_url: str) -> dict[str, Traffic]:
    """As the agent says now; none when it does not answer."""
    try:
        told = http_json.get(f"{agent_url}/api/v1/interfaces")["interfaces"]
    except EnvironmentProblem:
        return {}
    return {one["name"]: _traffic(one["counted"]) for one in told if one["counted"]}


def _traffic(told: Mapping[str, Any]) -> Traffic:
    received, sent = told["received"], told["sent"]
    return Traffic(received["packets"], received["bytes"], sent["packets"], sent["bytes"])


def _stored(store: FlowStore, window: Window) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for change in store.ledger(window):
        if change.component == KERNEL:
            found.setdefault(change.instance, {})[change.counter] = change.latest
    return found
