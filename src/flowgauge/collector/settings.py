# SPDX-License-Identifier: Apache-2.0
"""What a collector is told: the document's collector and storage sections, and what only this one collector has."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field, fields
from pathlib import Path

from flowgauge.config.model import Collector, seconds
from flowgauge.config.storage import Storage
from flowgauge.runtime.loopback import is_loopback
from flowgauge.schema.column import Stored
from flowgauge.schema.columns import DEFAULT_GROUPS

DOCUMENTATION_PEN = 32473
"""Private enterprise number for examples (RFC 5612): set your own in production."""

EVERYWHERE = "::"
"""Every address of this machine, IPv6 and IPv4."""


PROCESSORS_PER_RECEIVER, MAX_RECEIVERS = 8, 4
"""One receive process decodes about a million flows a second, which a store takes several processors to keep up with."""


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """Settings of one collector.

    Attributes:
        store_url: where flows are written, as for ``store.opening.open_store``.
        store_secret: the embedded store's secret, or the server's password; never logged.
        collector: section ``spec.collector`` of the document.
        storage: section ``spec.storage``: its retention limits how old a flow may be.
        groups: column groups that are stored beside the core.
        listen_host: address on which flows are received; empty: derived from the document's address (see ``host``).
        name: which collector this is in the ledger; default: the host's name, in a cluster the pod's.
        data_dir: folder of the spool, and of what outlives a restart; None keeps everything in memory.
        objects: Kubernetes objects that give names: file, folder or event log; None leaves addresses without names.
        pen: private enterprise number of our agents' own elements.
        http_address, http_port: where metrics, health, the API and the live tap listen; port 0 takes a free one.
        log_level: how much is logged.
        report_path: a file that gets the last counters as JSON when the collector stops; None writes none.
    """

    store_url: str
    store_secret: str = field(default="", repr=False)
    collector: Collector = field(default_factory=Collector)
    storage: Storage = field(default_factory=Storage)
    groups: tuple[Stored, ...] = DEFAULT_GROUPS
    listen_host: str = ""
    name: str = field(default_factory=socket.gethostname)
    data_dir: Path | None = None
    objects: Path | None = None
    pen: int = DOCUMENTATION_PEN
    http_address: str = "127.0.0.1"
    http_port: int = 9055
    log_level: str = "info"
    report_path: Path | None = None

    @property
    def host(self) -> str:
        """Where to listen: as told; else where the document sends agents when that is this machine only, else everywhere."""
        if self.listen_host:
            return self.listen_host
        return self.collector.address if is_loopback(self.collector.address) else EVERYWHERE

    @property
    def receive_processes(self) -> int:
        """How many processes receive beside the one that stores; 0: the same one."""
        wanted = self.collector.receive_processes
        if wanted != "auto":
            return wanted
        spooled = self.data_dir is not None and self.collector.spool.enable
        return min(1 + len(os.sched_getaffinity(0)) // PROCESSORS_PER_RECEIVER, MAX_RECEIVERS) if spooled else 0

    @property
    def names_path(self) -> Path | None:
        """Where names that exporters told are kept over a restart."""
        return self.data_dir / "state" / f"names-{self.name}" if self.data_dir else None

    @property
    def retention_hours(self) -> int:
        """How long flows are kept, in whole hours, at least 1."""
        return max(1, int(seconds(self.storage.retention) // 3600))

    def needs_restart(self, other: CollectorSettings) -> list[str]:
        """Names of settings that differ in ``other`` and that a running collector cannot take over."""
        own = [name for name in _FIXED if getattr(self, name) != getattr(other, name)]
        mine, theirs = self.collector, other.collector
        return own + [f"collector.{name}" for name in _FIXED_IN_COLLECTOR if getattr(mine, name) != getattr(theirs, name)]


_APPLIED = {"collector", "log_level"}
_FIXED = tuple(entry.name for entry in fields(CollectorSettings) if entry.name not in _APPLIED)
_APPLIED_IN_COLLECTOR = {"enrichment", "deduplicate", "elements", "sampling", "exporter_rate_limit"}
_FIXED_IN_COLLECTOR = tuple(name for name in Collector.model_fields if name not in _APPLIED_IN_COLLECTOR)
