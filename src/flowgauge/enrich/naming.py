# SPDX-License-Identifier: Apache-2.0
"""Where names come from: the index of addresses, what fills it (Kubernetes objects, if any), and the stage that uses it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flowgauge.config.model import Enrichment
from flowgauge.enrich.kubernetes import KubernetesIndex
from flowgauge.enrich.objects_source import ObjectsSource
from flowgauge.enrich.stage import Enricher
from flowgauge.runtime.metrics import Sample


class Naming:
    """Names for flows, from Kubernetes ``objects`` (None: there are none) and the document's ``enrichment``."""

    def __init__(self, objects: Path | None, enrichment: Enrichment) -> None:
        self._index = KubernetesIndex()
        self._source = ObjectsSource(objects, self._index) if objects else None
        self.stage = Enricher(self._index, enrichment)
        """The stage in use."""

    def start(self) -> None:
        """Reads the objects that are there, and follows them; UsageError when there is nothing at the path."""
        if self._source:
            self._source.start()

    def stop(self) -> None:
        """Follows them no more; safe to call twice."""
        if self._source:
            self._source.stop()

    def ready(self) -> bool:
        """True while objects are followed, or when there are none to follow."""
        return self._source is None or self._source.ready()

    def changed(self, enrichment: Enrichment) -> Enricher:
        """The stage under another ``enrichment``, with what is known of objects."""
        self.stage = Enricher(self._index, enrichment)
        return self.stage

    def samples(self) -> Iterable[Sample]:
        """What ``/metrics`` tells of names."""
        yield from self._index.samples()
        yield from self.stage.samples()
        if self._source:
            yield from self._source.samples()
