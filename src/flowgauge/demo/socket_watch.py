# SPDX-License-Identifier: Apache-2.0
"""Asks the kernel now and then how long round trips from the web pods to PostgreSQL take: the truth of the signal.

These connections live as long as a web pod's thread, so that each is asked many times.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable

from flowgauge.demo.cluster import Pod
from flowgauge.demo.database import PORT
from flowgauge.demo.scene.sockets import RoundTrip, round_trips
from flowgauge.demo.worker import Worker
from flowgauge.errors import EnvironmentProblem

_EVERY_S = 1.0
_KEPT = 20_000
"""An hour of the story's five connections; of a longer demo the last hour is compared. About 5 MB."""


class SocketWatch(Worker):
    """Reads until ``stop``; ``readings`` in the order of time.

    Args:
        pods: whose connections; asked before each reading, since pods are replaced.
    """

    def __init__(self, pods: Callable[[], Iterable[Pod]]) -> None:
        self._pods = pods
        self.readings: deque[RoundTrip] = deque(maxlen=_KEPT)
        super().__init__("sockets")

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            for pod in list(self._pods()):
                with contextlib.suppress(OSError, EnvironmentProblem):  # a pod may go meanwhile
                    self.readings.extend(round_trips(pod.place.netns, PORT))
