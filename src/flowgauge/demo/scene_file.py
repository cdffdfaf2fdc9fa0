# SPDX-License-Identifier: Apache-2.0
"""The running scene as a file: namespaces, nodes and pods by name, so that another process can put a fault into it.

The demo writes it when its pods run, again when one is replaced, and removes it before it judges: whoever disturbs the scene
must be gone by then.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from flowgauge.demo.cluster import Cluster
from flowgauge.errors import EnvironmentProblem

_FILE = "scene.json"


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A node: its name, the network namespace below /run/netns, its address."""

    name: str
    netns: str
    address: str


@dataclass(frozen=True, slots=True)
class PodEntry:
    """A pod; ``device`` is the end of its link in ``node``'s namespace, ``workload`` its Deployment or DaemonSet."""

    name: str
    namespace: str
    workload: str
    node: str
    netns: str
    address: str
    device: str


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is where; ``folder`` is the demo's, ``outside`` the namespace of the outside clients."""

    folder: str
    outside: str
    nodes: tuple[NodeEntry, ...]
    pods: tuple[PodEntry, ...]

    def pods_of(self, workload: str) -> list[PodEntry]:
        """The pods of a workload, as they are now; EnvironmentProblem when there is none."""
        found = [pod for pod in self.pods if pod.workload == workload]
        if not found:
            raise EnvironmentProblem(f"the running demo has no pod of {workload}")
        return found

    def node_of(self, pod: PodEntry) -> NodeEntry:
        """The node on which a pod runs."""
        return next(node for node in self.nodes if node.name == pod.node)


def write(folder: Path, cluster: Cluster) -> None:
    """Writes the scene as it is now, all at once."""
    network = cluster.network
    nodes = tuple(NodeEntry(node.name, node.netns, node.address) for node in network.nodes.values())
    pods = tuple(
        PodEntry(
            pod.name, pod.workload.namespace, pod.workload.name, pod.place.node.name, pod.place.netns, pod.address,
            pod.place.device,
        )
        for pod in cluster.pods
    )  # fmt: skip
    draft = folder / f"{_FILE}.tmp"
    draft.write_text(json.dumps(asdict(Scene(str(folder), network.outside, nodes, pods)), indent=1), encoding="utf-8")
    draft.replace(folder / _FILE)


def remove(folder: Path) -> None:
    """The scene is about to end."""
    (folder / _FILE).unlink(missing_ok=True)


def exists(folder: Path) -> bool:
    """Whether the scene still runs and may be disturbed."""
    return (folder / _FILE).exists()


def read(folder: Path) -> Scene:
    """The scene as it is now.

    Raises:
        EnvironmentProblem: it has ended, has not begun, or cannot be read.
    """
    try:
        found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        return Scene(
            found["folder"],
            found["outside"],
            tuple(NodeEntry(**node) for node in found["nodes"]),
            tuple(PodEntry(**pod) for pod in found["pods"]),
        )
    except FileNotFoundError as error:
        raise EnvironmentProblem("the demo does not run yet, or is about to end") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentProblem(f"the demo's scene cannot be read from {folder / _FILE}: {error}") from error
