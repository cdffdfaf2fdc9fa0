# SPDX-License-Identifier: Apache-2.0
"""How long the demo's network takes to come up and to go: three nodes and twelve pods, as shares of their goals (root)."""

from __future__ import annotations

import os
import statistics
import sys
import time

from flowgauge.demo.scene.network import Network
from flowgauge.demo.scene.pods import add_pod

UP_GOAL_S, DOWN_GOAL_S = 1.0, 0.2
ROUNDS, PODS = 9, 12


def once() -> tuple[float, float]:
    """Seconds up and down."""
    start = time.perf_counter()
    with Network() as scene:
        scene.up()
        nodes = list(scene.nodes.values())
        for index in range(PODS):
            add_pod(scene, nodes[index % len(nodes)], f"pod-{index:05d}")
        up_s = time.perf_counter() - start
        start = time.perf_counter()
    return up_s, time.perf_counter() - start


def main() -> None:
    """Prints both, the median of several rounds."""
    if os.geteuid() != 0:
        sys.exit("network namespaces need root")
    ups, downs = zip(*(once() for _ in range(ROUNDS)), strict=True)
    for name, taken, goal_s in (("up", ups, UP_GOAL_S), ("down", downs, DOWN_GOAL_S)):
        median_s = statistics.median(taken)
        print(f"scene {name}: {median_s * 1000:.0f} ms, {median_s / goal_s:.2f} of the {goal_s:.1f} s it may take")


if __name__ == "__main__":
    main()
