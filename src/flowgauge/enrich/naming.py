# SPDX-License-Identifier: Apache-2.0
"""Where names come from: an index of addresses, what fills it (Kubernetes objects, answers of DNS), the stage that uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from flowgauge.config.model import Enrichment
from flowgauge.enrich.dns_names import DnsNames
from flowgauge.enrich.kubernetes import KubernetesIndex
from flowgauge.enrich.objects_source import ObjectsSource
from flowgauge.enrich.stage import Enricher
from flowgauge.runtime.metrics import Sample

_POLL_S = 1.0
"""How late a change of objects may be known while no flows come: each batch of flows asks for what is new (``catch_up``)."""


class Naming:
    """Names for flows, from Kubernetes ``objects`` (None: there are none) and the document's ``enrichment``.

    Attributes:
        dns: names from answers of DNS, to be told them by whoever hears of them.
        stage: the stage in use.

    Args:
        forgot: told how many names from DNS made room for newer ones.
    """

    def __init__(self, objects: Path | None, enrichment: Enrichment, forgot: Callable[[int], None] = lambda _: None) -> None:
        self._index, self.dns = KubernetesIndex(), DnsNames(forgot)
        self._source = ObjectsSource(objects, self._index, poll_s=_POLL_S) if objects else None
        self.stage = self._stage(enrichment)

    def start(self) -> None:
        """Reads the objects that are there, prepares names, and follows them; UsageError when there is nothing at the path."""
        if self._source:
            self._source.start()
            self.stage.prepare()

    def stop(self) -> None:
        """Follows them no more; safe to call twice."""
        if self._source:
            self._source.stop()

    def ready(self) -> bool:
        """True while objects are followed, or when there are none to follow."""
        return self._source is None or self._source.ready()

    def changed(self, enrichment: Enrichment) -> Enricher:
        """The stage under another ``enrichment``, with what is known of objects."""
        self.stage = self._stage(enrichment)
        return self.stage

    def _stage(self, enrichment: Enrichment) -> Enricher:
        if self._source is None:
            return Enricher(self._index, enrichment, self.dns)
        return Enricher(self._index, enrichment, self.dns, self._source.catch_up)

    def samples(self) -> Iterable[Sample]:
        """What ``/metrics`` tells of names."""
        yield from self._index.samples()
        yield from self.stage.samples()
        yield from self.dns.samples()
        if self._source:
            yield from self._source.samples()
