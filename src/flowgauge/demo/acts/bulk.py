# SPDX-License-Identifier: Apache-2.0
"""The bulk transfer: 100 MB between two pods of a node with segmentation offloads on, so that a frame carries many segments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flowgauge.demo import containers
from flowgauge.demo.cluster import Cluster, Pod
from flowgauge.demo.scene import addresses, counters, kernel
from flowgauge.demo.scene.counters import Segments
from flowgauge.demo.scene.processes import Process
from flowgauge.demo.waiting import quiet, until

SPACE, SENDER, RECEIVER = "transfer", "bulk-sender", "bulk-receiver"
BULK_BYTES = 100_000_000
_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Transfer:
    """What the bulk transfer was.

    Attributes:
        received_bytes: of the application.
        sent_bytes: of the application, what TCP repeated included, as the sender's kernel counted (``tcpi_bytes_sent``).
        segments: as the sender's kernel counted.
    """

    sender: Pod
    receiver: Pod
    received_bytes: int
    sent_bytes: int
    segments: Segments


class BulkTransfer:
    """The act; its pods are idle until it plays."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        cluster.namespace(SPACE)
        self._sender, self._receiver = (
            cluster.pod(cluster.deployment(SPACE, name, []), "node-b") for name in (SENDER, RECEIVER)
        )

    @property
    def pods(self) -> Sequence[Pod]:
        """Sender and receiver."""
        return self._sender, self._receiver

    def play(self) -> Transfer:
        """Sends ``BULK_BYTES`` from one to the other.

        Raises:
            EnvironmentProblem: it did not end in time.
        """
        sender, receiver, run = self._sender, self._receiver, self._cluster.run
        for pod in self.pods:
            pod.place.offloads(on=True)
        _patient(sender)
        before = counters.tcp_segments_sent(sender.place.netns)
        receiving = run(receiver, containers.bulk_receiver(receiver.address))
        until(lambda: counters.listens(receiver.place.netns, containers.BULK_PORT), receiver)
        sending = run(sender, containers.bulk_sender(receiver.address, BULK_BYTES))
        until(lambda: sending.ended() is not None and receiving.ended() is not None, sender, ends=True, within_s=_WITHIN_S)
        quiet(self.pods)
        segments = counters.tcp_segments_sent(sender.place.netns).since(before)
        return Transfer(sender, receiver, _printed(receiving), _printed(sending), segments)


def _patient(pod: Pod) -> None:
    """Nothing is lost between two pods of a node, but on a busy machine TCP would guess so and repeat data: make it wait."""
    kernel.sysctl(pod.place.netns, {"ipv4/tcp_early_retrans": "0", "ipv4/tcp_recovery": "0", "ipv4/tcp_reordering": "300"})
    kernel.ip_batch(pod.place.netns, [f"route replace default via {addresses.POD_GATEWAY} dev eth0 rto_min 5s"])


def _printed(process: Process) -> int:
    """The number that the program printed; 0 when it printed none."""
    found = re.search(r"^\d+$", process.last_words(), re.MULTILINE)
    return int(found[0]) if found else 0
