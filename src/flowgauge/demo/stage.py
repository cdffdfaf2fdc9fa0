# SPDX-License-Identifier: Apache-2.0
"""What a demo stands on: the scene's network, the cluster with the story's pods in it, and the parts that will observe them.

``build`` makes it; no program runs yet. Whatever it makes is on the caller's list of what to undo.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from flowgauge.demo.cluster import Cluster
from flowgauge.demo.doors import Ports
from flowgauge.demo.flow_demo import FlowDemo
from flowgauge.demo.objects.log import EventLog
from flowgauge.demo.scene import addresses
from flowgauge.demo.scene.network import Network
from flowgauge.demo.settings import Settings, label_of
from flowgauge.demo.system import System
from flowgauge.demo.truth import TruthLog
from flowgauge.demo.witness import InterfaceWitness
from flowgauge.errors import EnvironmentProblem
from flowgauge.run.part import PartStatus, State, reserved

CONSOLE_PORT = 8055
NO_PORTS = Ports()


@dataclass(slots=True)
class Troubles:
    """Parts that are not well, told by the supervisors' threads."""

    scene: Network
    restarted: list[str] = field(default_factory=list)
    failed: str = ""

    def hear(self, status: PartStatus) -> None:
        """A part changed its state; its process is remembered, so that the next run finds it if we are killed."""
        if status.pid:
            self.scene.journal.part(status.pid)
        if status.state is State.RESTARTING:
            self.restarted.append(f"{status.name} died and was started again")
        elif status.state is State.FAILED:
            self.failed = status.problem


@dataclass(frozen=True, slots=True)
class Stage:
    """The pieces; ``folder`` holds store, logs, the object log and the truth."""

    settings: Settings
    folder: Path
    network: Network
    system: System
    witness: InterfaceWitness
    story: FlowDemo
    troubles: Troubles

    @property
    def objects_path(self) -> Path:
        """The log of Kubernetes objects."""
        return _objects_path(self.folder)


def build(
    settings: Settings, undo: contextlib.ExitStack, *, keep: Callable[[Path], object] | None = None, ports: Ports = NO_PORTS
) -> Stage:
    """Builds everything.

    Args:
        settings: what to run with.
        undo: gets what removes it all again.
        keep: called at the end with the folder of store and logs, which then stays; None removes it with the scene.
        ports: of console and collector; a console port of 0 takes 8055 if it is free, else any.

    Raises:
        EnvironmentProblem: this machine does not let us make the scene's network.
    """
    network = undo.enter_context(Network())
    try:
        network.up()
    except OSError as error:
        raise EnvironmentProblem(f"the scene's network cannot be made here: {error}") from error
    folder = _folder(network, undo, keep)
    troubles, truth = Troubles(network), TruthLog()
    nodes = list(network.nodes.values())
    system = System(
        settings,
        folder,
        nodes,
        _objects_path(folder),
        ports=replace(ports, console=ports.console or _usual_port()),
        listener=troubles.hear,
    )
    undo.callback(system.stop)
    system.log_dir.mkdir()
    cluster = Cluster(network, EventLog(_objects_path(folder)), truth, system.log_dir)
    for address in (addresses.CLIENT, addresses.YOU):
        cluster.outside(address, label_of(address, settings.spec.collector.enrichment))
    witness = InterfaceWitness(settings.spec.exporter, system.composition.agent_urls)
    story = FlowDemo(cluster, witness)
    undo.callback(story.probes.stop)
    return Stage(settings, folder, network, system, witness, story, troubles)


def _objects_path(folder: Path) -> Path:
    return folder / "objects.jsonl"


def _folder(network: Network, undo: contextlib.ExitStack, keep: Callable[[Path], object] | None) -> Path:
    if keep is not None:
        folder = Path(tempfile.mkdtemp(prefix="flowgauge-demo-"))
        folder.chmod(0o755)
        undo.callback(keep, folder)
        return folder
    folder = network.folder / "flowgauge"
    folder.mkdir()
    return folder


def _usual_port() -> int:
    """The console's usual port, kept from other demos, if it is free, else 0."""
    try:
        return reserved(CONSOLE_PORT)
    except OSError:
        return 0
