# SPDX-License-Identifier: Apache-2.0
"""Path probes: a pod sends what cannot arrive, and routers, nodes and pods answer with errors of ICMP.

It plays at the end, since a port where nobody listens is a trouble.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowgauge.demo import containers
from flowgauge.demo.cluster import Cluster, Pod
from flowgauge.demo.scene import addresses, kernel
from flowgauge.demo.waiting import quiet, until
from flowgauge.runtime.clock import now_ns

SPACE, PROBE, TARGET = "monitoring", "path-probe", "probe-target"
KINDS = {"11/0": "ttl exceeded", "3/3": "port unreachable", "3/4": "fragmentation needed"}
"""Type and code of the errors that it asks for (RFC 792, RFC 1191) → how flows call them."""

_SMALL_MTU = 1000
_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Probed:
    """Which errors the probe's own socket was told: how flows call them → how many; 0 of those that never came.

    ``from_ms``: when it began to probe.
    """

    probe: Pod
    from_ms: int
    errors: Mapping[str, int]


class PathProbes:
    """The act: a probe on one node, and a pod on another that listens to nothing."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        cluster.namespace(SPACE)
        self._probe, self._target = (
            cluster.pod(cluster.deployment(SPACE, name, []), node) for name, node in ((PROBE, "node-a"), (TARGET, "node-c"))
        )

    @property
    def pods(self) -> Sequence[Pod]:
        """Who asks, and who answers."""
        return self._probe, self._target

    def play(self) -> Probed:
        """Probes, and reads which errors came.

        Raises:
            EnvironmentProblem: it did not end in time.
        """
        node = self._probe.place.node.netns
        kernel.ip_batch(node, [f"route replace {addresses.NARROW} via {addresses.ROUTER} mtu lock {_SMALL_MTU}"])
        program = containers.probe_paths(addresses.CLIENT, self._target.address, addresses.NARROW)
        from_ms = now_ns() // 1_000_000
        probing = self._cluster.run(self._probe, program)
        until(lambda: probing.ended() is not None, self._probe, ends=True, within_s=_WITHIN_S)
        quiet(self.pods)
        return Probed(self._probe, from_ms, _errors(probing.last_words(lines=1)))


def _errors(printed: str) -> dict[str, int]:
    """What the program printed, by name; what it did not ask for goes by type and code."""
    try:
        told: dict[str, int] = json.loads(printed)
    except ValueError:
        told = {}
    return dict.fromkeys(KINDS.values(), 0) | {KINDS.get(kind, kind): count for kind, count in told.items()}
