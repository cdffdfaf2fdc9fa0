# SPDX-License-Identifier: Apache-2.0
"""The nodes' health probes: each node asks its own web pods for ``/health``, as a kubelet does. One thread."""

from __future__ import annotations

import socket
import threading

from flowgauge.demo.cluster import Pod
from flowgauge.demo.containers import WEB_PORT
from flowgauge.demo.worker import Worker
from flowgauge.runtime import linux

_EVERY_S = 3.0
_TIMEOUT_S = 1.0
_REQUEST = b"GET /health HTTP/1.1\r\nHost: %s\r\nUser-Agent: kube-probe/1.34\r\nConnection: close\r\n\r\n"


def healthy(pod: Pod) -> bool:
    """Whether the pod answers its node's probe now.

    Reads to the end before it closes: closing earlier would reset the connection, which is a fault to show, not a probe.
    """
    try:
        with linux.in_netns(pod.place.node.netns):
            connection = socket.create_connection((pod.address, WEB_PORT), _TIMEOUT_S)
        with connection:
            connection.sendall(_REQUEST % pod.address.encode())
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError:
        return False
    return answer.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200"))


class NodeProbes(Worker):
    """Probes the pods it was given until they are taken away."""

    def __init__(self) -> None:
        self._pods: list[Pod] = []
        self._lock = threading.Lock()
        super().__init__("probes")

    def add(self, pod: Pod) -> None:
        """Probes this pod from now on."""
        with self._lock:
            self._pods.append(pod)

    def take_away(self, pod: Pod) -> None:
        """Probes this pod no more; a probe under way is finished when this returns."""
        with self._lock:
            self._pods.remove(pod)

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            with self._lock:
                for pod in self._pods:
                    healthy(pod)
