# SPDX-License-Identifier: Apache-2.0
"""Flowgauge's own parts in the demo: those that keep and show flows, and an agent for each node of the scene.

Several supervisors, so that what does not need each other starts at the same time, and agents stop first at the end: what
they send last must still be stored and read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import chain, repeat
from pathlib import Path

from flowgauge.demo import http_json
from flowgauge.demo.doors import Ports
from flowgauge.demo.report.ledger import Balance, balance
from flowgauge.demo.scene.nodes import Node
from flowgauge.demo.settings import Settings
from flowgauge.errors import EnvironmentProblem
from flowgauge.run.compose import AgentPlace, Composition, Plan, compose
from flowgauge.run.machine import kept_token
from flowgauge.run.part import LOOPBACK, PartStatus
from flowgauge.run.supervisor import Supervisor
from flowgauge.store.clickhouse.client import embedded_about, parse_address
from flowgauge.store.opening import open_store
from flowgauge.store.store import FlowStore

_SETTLED_WITHIN_S = 10.0
_POLL_S = 0.2

Listener = Callable[[PartStatus], None]


class System:
    """The parts, from ``start`` to ``stop``.

    Args:
        settings: the document as the demo runs it.
        folder: for the store's data and the logs.
        nodes: of the scene; an agent for each.
        objects: event log of the Kubernetes objects.
        ports: of console, collector and agents; 0 takes a free one.
        listener: told of each part's changes of state, from two threads.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        nodes: Sequence[Node],
        objects: Path,
        *,
        ports: Ports,
        listener: Listener | None = None,
    ) -> None:
        agents = tuple(
            AgentPlace(node.name, node.netns, port)
            for node, port in zip(nodes, chain(ports.agents_http, repeat(0)), strict=False)
        )
        token, self.agent_token_file = kept_token(folder, "agent")
        plan = Plan(
            document=settings.document, data_dir=folder, runtime_dir=folder, agents=agents, objects=objects,
            collector_host=LOOPBACK, console_port=ports.console,
            collector_http_port=ports.collector_http, env=settings.env, agent_token=token,
        )  # fmt: skip
        self.composition: Composition = compose(settings.spec, plan)
        self.log_dir = plan.log_dir
        of_agents = [part for part in self.composition.parts if part.name.startswith("agent-")]
        keeping = [part for part in self.composition.parts if part.name in ("store", "collector")]
        showing = [part for part in self.composition.parts if part.name == "console"]
        self._agents = [Supervisor([part], plan.log_dir, listener) for part in of_agents]
        self._others = [Supervisor(parts, plan.log_dir, listener) for parts in (showing, keeping)]
        self.store: FlowStore = open_store(self.composition.store_url, self.composition.secret)

    def start(self, meanwhile: Callable[[], None], stop: threading.Event) -> None:
        """Starts everything at once, with ``meanwhile`` beside it; gives up when ``stop`` is set.

        Raises:
            EnvironmentProblem: a part failed, or ``meanwhile`` did.
        """
        calls = [meanwhile, *(one.start for one in (*self._others, *self._agents))]
        with ThreadPoolExecutor(len(calls)) as pool:
            waiting = {pool.submit(call) for call in calls}
            try:
                while waiting and not stop.is_set():
                    done, waiting = wait(waiting, _POLL_S, FIRST_COMPLETED)
                    for one in done:
                        one.result()
            finally:
                if waiting:
                    self.stop()

    def stop_agents(self) -> None:
        """Ends the agents, which send what they counted until then; safe to call twice."""
        for agent in self._agents:
            agent.stop()

    def stop(self) -> None:
        """Ends everything; safe to call twice."""
        self.stop_agents()
        for one in self._others:
            one.stop()
        self.store.close()

    def segment_dir(self) -> Path | None:
        """Where the store takes batches over, in shared memory: it outlives a store that was killed."""
        about = embedded_about(parse_address(self.composition.store_url), self.composition.secret)
        return Path(about["segment_dir"]) if about else None

    def balance(self) -> Balance:
        """The ledger's sums as the collector knows them now; EnvironmentProblem when it does not answer."""
        return balance(http_json.get(f"{self.composition.collector_url}/api/v1/ledger")["components"])

    def settled(self) -> Balance:
        """The ledger's sums once nothing is under way any more, or when that did not come in time."""
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        while True:
            found = self._balance_or_none()
            if found and found.residual == 0 and found.offered:
                return found
            if time.monotonic() > deadline:
                return found or self.balance()
            time.sleep(_POLL_S)

    def _balance_or_none(self) -> Balance | None:
        try:
            return self.balance()
        except EnvironmentProblem:
            return None
