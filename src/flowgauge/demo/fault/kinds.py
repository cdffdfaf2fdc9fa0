# SPDX-License-Identifier: Apache-2.0
"""The faults: what each does to whom in the running scene. Whatever ``begin`` puts on the stack undoes it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flowgauge.demo.acts import bulk
from flowgauge.demo.containers import DNS_PORT
from flowgauge.demo.database import PORT as DATABASE_PORT
from flowgauge.demo.fault import drop_log, traffic
from flowgauge.demo.flow_demo import DATABASE, DNS, ROUTE_HOST, WEB
from flowgauge.demo.scene import addresses, faults
from flowgauge.demo.scene.delayer import delayed
from flowgauge.demo.scene_file import PodEntry, Scene

DELAY_S, DNS_DELAY_S = 0.05, 0.2
LOSS_PERCENT = 3
CLOSED_PORT = 5433
SMALL_MTU = 600
RATE, QUEUE_BYTES = "5mbit", 15_000
_NEIGHBOUR = "stock-report"
_ARRIVING = "INPUT"
"""Where packets are held back: behind the node's translation, which would choose anew for one that another overtakes."""
_SLOW_VISITORS, _FULL_SENDERS = 4, 16
_TO_DATABASE = f"port = {DATABASE_PORT}"

DROPPING = {"loss": "fault_loss", "policy-drop": "fault_policy_drop"}
"""Kinds that drop packets to the database before they reach its link → the nftables table of each."""

Begin = Callable[[Scene, contextlib.ExitStack], str]
"""Begins a fault, puts its end on the stack, and says in one line what was done to whom."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind: ``summary`` for the list, ``filter`` of the flows to look at."""

    summary: str
    filter: str
    begin: Begin


def _delay(scene: Scene, undo: contextlib.ExitStack) -> str:
    database = scene.pods_of(DATABASE)[0]
    undo.enter_context(delayed(database.netns, f"-p tcp --dport {DATABASE_PORT}", DELAY_S, _ARRIVING))
    return f"each packet to {DATABASE}:{DATABASE_PORT} arrives {DELAY_S * 1000:.0f} ms late"


def _loss(scene: Scene, undo: contextlib.ExitStack) -> str:
    database = scene.pods_of(DATABASE)[0]
    node = scene.node_of(database)
    match = f"ip daddr {database.address} tcp dport {DATABASE_PORT} ct state established"
    _drop(scene, undo, DROPPING["loss"], LOSS_PERCENT, match)
    return f"{node.name} drops {LOSS_PERCENT} % of the packets to {DATABASE}:{DATABASE_PORT}"


def _policy_drop(scene: Scene, undo: contextlib.ExitStack) -> str:
    neighbour, database = scene.pods_of(_NEIGHBOUR)[0], scene.pods_of(DATABASE)[0]
    node = scene.node_of(database)
    match = f"ip saddr {neighbour.address} ip daddr {database.address} tcp dport {DATABASE_PORT}"
    _drop(scene, undo, DROPPING["policy-drop"], 100, match)
    return f"a rule on {node.name} forbids {neighbour.namespace}/{_NEIGHBOUR} to reach {DATABASE}:{DATABASE_PORT}"


def _drop(scene: Scene, undo: contextlib.ExitStack, table: str, percent: int, match: str) -> None:
    """Drops packets on the database's node, before they reach it, and tells the demo at the end how many these were."""
    take_away(scene, table)
    database, dropped = scene.pods_of(DATABASE)[0], faults.Dropped()
    undo.callback(lambda: drop_log.append(Path(scene.folder), database.address, dropped))
    dropped = undo.enter_context(faults.loss(scene.node_of(database).netns, percent, match, table))


def take_away(scene: Scene, table: str) -> int:
    """Of a rule whose process was killed: takes it away and tells the demo how many packets it dropped. 0 without any."""
    database = scene.pods_of(DATABASE)[0]
    left = faults.left_behind(scene.node_of(database).netns, table)
    if left is None:
        return 0
    drop_log.append(Path(scene.folder), database.address, left)
    return left.packets


def _no_listener(scene: Scene, undo: contextlib.ExitStack) -> str:
    web, database = scene.pods_of(WEB)[0], scene.pods_of(DATABASE)[0]
    undo.enter_context(traffic.running(traffic.calls(web.netns, database.address, CLOSED_PORT, 0.3)))
    return f"{web.name} connects to {DATABASE}:{CLOSED_PORT} three times a second, where nobody listens"


def _slow_dns(scene: Scene, undo: contextlib.ExitStack) -> str:
    for pod in scene.pods_of(DNS):
        undo.enter_context(delayed(pod.netns, f"-p udp --dport {DNS_PORT}", DNS_DELAY_S, _ARRIVING))
    return f"questions reach {DNS}:{DNS_PORT} {DNS_DELAY_S * 1000:.0f} ms late, on every node"


def _slow_server(scene: Scene, undo: contextlib.ExitStack) -> str:
    visit = traffic.visits(scene.outside, addresses.CLIENT, addresses.ROUTE, ROUTE_HOST, "/slow")
    undo.enter_context(traffic.running(*[visit] * _SLOW_VISITORS))
    return f"{_SLOW_VISITORS} visitors ask {WEB} for its slow report again and again: a query of 400 ms in {DATABASE}"


def _slow_reader(scene: Scene, undo: contextlib.ExitStack) -> str:
    sender, receiver = _transfer(scene)
    reading = traffic.listener(receiver, every_s=0.2, piece_bytes=2048, buffer_bytes=4096)
    undo.enter_context(traffic.running(reading, traffic.sender(sender, receiver)))
    return f"{receiver.name} reads 10 kB/s of what {sender.name} sends it as fast as it can"


def _queue(scene: Scene, undo: contextlib.ExitStack) -> str:
    sender, receiver = _transfer(scene)
    node = scene.node_of(receiver)
    undo.enter_context(faults.slow(node.netns, receiver.device, RATE, QUEUE_BYTES))
    undo.enter_context(traffic.running(traffic.listener(receiver), *[traffic.sender(sender, receiver)] * _FULL_SENDERS))
    return f"{node.name} passes on {RATE} to {receiver.name} with a queue of {QUEUE_BYTES // 1000} kB; {sender.name} sends more"


def _mtu(scene: Scene, undo: contextlib.ExitStack) -> str:
    sender, receiver = _transfer(scene)
    node = scene.node_of(receiver)
    undo.enter_context(faults.small_mtu(node.netns, receiver.device, SMALL_MTU))
    undo.enter_context(traffic.running(traffic.listener(receiver), traffic.sender(sender, receiver, for_s=2.0)))
    return f"the link of {receiver.name} on {node.name} has an MTU of {SMALL_MTU}, and {sender.name} is not told"


def _transfer(scene: Scene) -> tuple[PodEntry, PodEntry]:
    """Sender and receiver of the bulk transfer, which are idle until the demo's end."""
    return scene.pods_of(bulk.SENDER)[0], scene.pods_of(bulk.RECEIVER)[0]


_BULK = f"port = {traffic.PORT}"

KINDS: dict[str, Fault] = {
    "delay": Fault("50 ms on the way from Django to PostgreSQL", _TO_DATABASE, _delay),
    "loss": Fault("3 % of the packets to PostgreSQL are lost", _TO_DATABASE, _loss),
    "policy-drop": Fault("a rule forbids the neighbour of other-team to reach PostgreSQL", _TO_DATABASE, _policy_drop),
    "no-listener": Fault("Django connects to a port where nobody listens", f"port = {CLOSED_PORT}", _no_listener),
    "slow-dns": Fault("DNS answers take 200 ms", f"port = {DNS_PORT}", _slow_dns),
    "slow-server": Fault("queries take 400 ms in PostgreSQL", _TO_DATABASE, _slow_server),
    "slow-reader": Fault("a receiver reads slowly: its window closes", _BULK, _slow_reader),
    "queue": Fault("the queue of a pod's link is full", _BULK, _queue),
    "mtu": Fault("a link drops large packets and nobody is told", _BULK, _mtu),
}
