# SPDX-License-Identifier: Apache-2.0
"""Keeps the kernel's set of chosen addresses in step with pods that come and go, and with the document.

Before: the objects file, followed by a thread of its own; after: :meth:`flowgauge.ebpf.flow_program.FlowProgram.choose`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from flowgauge.agent.pod_choice import Chooser, PodAddresses
from flowgauge.agent.program import Program
from flowgauge.config.model import Exporter
from flowgauge.enrich.objects_source import ObjectsSource
from flowgauge.errors import UsageError
from flowgauge.k8s.changes import Change
from flowgauge.runtime import logs
from flowgauge.runtime.metrics import Sample

_log = logs.get("agent")


def chooser_of(exporter: Exporter) -> Chooser:
    """What the document chooses."""
    return Chooser.of(exporter.namespaces, exporter.pods)


class ChosenPods:
    """The namespaces and pods of ``exporter`` in the file or folder ``objects``, which is read once one is chosen."""

    def __init__(self, objects: Path | None, exporter: Exporter) -> None:
        self._chooser = chooser_of(exporter)
        self._known = PodAddresses()
        self._program: Program | None = None
        self._lock = threading.RLock()
        self._source = ObjectsSource(objects, self, self._tell_kernel) if objects else None
        self._started = False
        self.addresses = self.without_room = 0

    def choose(self, exporter: Exporter, program: Program) -> None:
        """Applies the document's choice to ``program``, and goes on with every change of the objects.

        Raises:
            UsageError: something is chosen, and there are no objects to choose from.
        """
        with self._lock:
            self._chooser, self._program = chooser_of(exporter), program
        if not self._chooser.bits:
            return
        if self._source is None:
            raise UsageError("spec.exporter.namespaces and pods choose by Kubernetes objects: give --kubernetes-objects PATH")
        if not self._started:
            self._source.start()
            self._started = True
        self._tell_kernel()

    def stop(self) -> None:
        """Ends the thread; safe to call twice."""
        if self._source is not None and self._started:
            self._source.stop()

    def apply(self, change: Change) -> None:
        """Takes over one change of the objects."""
        with self._lock:
            self._known.apply(change)

    def samples(self) -> Iterator[Sample]:
        """What ``/metrics`` tells of the choice."""
        yield Sample("agent_chosen_addresses", "Addresses of pods and Services that are chosen or left out.", self.addresses)
        yield Sample("agent_chosen_without_room", "Such addresses for which the kernel's table has no room.", self.without_room)
        if self._source is not None and self._started:
            yield from self._source.samples()

    def _tell_kernel(self) -> None:
        with self._lock:
            if self._program is None or not self._chooser.bits:
                return
            wanted = self._known.bits(self._chooser)
            try:
                self.without_room = self._program.choose(wanted)
            except OSError as error:
                _log.error("chosen_addresses_not_written", error=str(error))
                return
            self.addresses = len(wanted) - self.without_room
            if self.without_room:
                _log.error("chosen_addresses_without_room", addresses=self.without_room)
