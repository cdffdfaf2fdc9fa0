# SPDX-License-Identifier: Apache-2.0
"""Waiting for pods: until something is so, and until they are quiet."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from flowgauge.demo.cluster import Pod
from flowgauge.demo.scene import counters
from flowgauge.errors import EnvironmentProblem

READY_WITHIN_S = 60.0
_POLL_S = 0.1


def until(done: Callable[[], bool], pod: Pod, *, ends: bool = False, within_s: float = READY_WITHIN_S) -> None:
    """Waits for ``done``; a program of ``pod`` that ends meanwhile is a failure unless it ``ends`` by itself.

    Raises:
        EnvironmentProblem: it failed or was not ready in time; the message holds its last words.
    """
    deadline = time.monotonic() + within_s
    while not done():
        process = pod.processes[-1]
        if process.ended() is not None and not ends:
            raise EnvironmentProblem(f"{pod.name} ended with status {process.ended()}:\n{process.last_words()}")
        if time.monotonic() > deadline:
            raise EnvironmentProblem(f"{pod.name} was not ready after {within_s:.0f} s:\n{process.last_words()}")
        time.sleep(_POLL_S)


def quiet(pods: Sequence[Pod], *, for_s: float = 0.4, within_s: float = 8.0) -> bool:
    """Waits until no packet passed the pods' links for ``for_s`` seconds; False when that did not come in time."""
    deadline = time.monotonic() + within_s
    seen, since = _passed(pods), time.monotonic()
    while time.monotonic() < deadline:
        time.sleep(_POLL_S / 2)
        now = _passed(pods)
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since >= for_s:
            return True
    return False


def _passed(pods: Sequence[Pod]) -> list[int]:
    by_node = {pod.place.node.netns: counters.devices(pod.place.node.netns) for pod in pods}
    return [by_node[pod.place.node.netns][pod.place.device].packets for pod in pods]
