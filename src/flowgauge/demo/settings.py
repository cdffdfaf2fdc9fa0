# SPDX-License-Identifier: Apache-2.0
"""The FlowCollector document as the demo runs it: what names other machines is replaced by the demo's own, and said so."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flowgauge.config.effective import effective
from flowgauge.config.environment import as_environment
from flowgauge.config.load import load
from flowgauge.config.model import Enrichment, ExporterType, Spec
from flowgauge.config.storage import StorageType
from flowgauge.errors import UsageError
from flowgauge.run.part import LOOPBACK

OWN_DOCUMENT = Path(__file__).with_name("flowcollector.yaml")
_LABELS_PATH = "spec.collector.enrichment.subnetLabels"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a demo runs with.

    Attributes:
        document: file that the parts read.
        spec: what it says, with what the demo replaces.
        notes: a sentence for each replacement.
        env: what parts get in their environment, to the same effect.
    """

    document: Path
    spec: Spec
    notes: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Path | None) -> Settings:
        """Those of the user's ``document``, or the demo's own.

        Raises:
            UsageError, ConfigError: it cannot be read, has problems, or lets nobody observe anything.
        """
        path = document or OWN_DOCUMENT
        _refuse_blind(effective(path).spec)
        spec, notes = effective(path).spec, [*load(path).notes, *_replaced(effective(path).spec)]
        env: dict[str, str] = {}
        labels = spec.collector.enrichment.subnet_labels
        if not labels:
            labels = effective(OWN_DOCUMENT, environ={}).spec.collector.enrichment.subnet_labels
            env = as_environment({_LABELS_PATH: [label.model_dump(by_alias=True) for label in labels]})
            notes.append(f"collector.enrichment.subnetLabels is empty: the demo adds {', '.join(one.name for one in labels)}")
        enrichment = spec.collector.enrichment.model_copy(update={"subnet_labels": labels})
        updates = {
            "collector": spec.collector.model_copy(update={"enrichment": enrichment}),
            "storage": spec.storage.model_copy(update={"type": StorageType.EMBEDDED, "address": ""}),
            "console_plugin": spec.console_plugin.model_copy(update={"enable": True, "address": LOOPBACK}),
        }
        return cls(path, spec.model_copy(update=updates), tuple(notes), env)


def label_of(address: str, enrichment: Enrichment) -> str:
    """The label of the longest block that holds ``address``; empty when none does."""
    wanted = ipaddress.ip_address(address)
    blocks = [(ipaddress.ip_network(cidr), label.name) for label in enrichment.subnet_labels for cidr in label.cidrs]
    holding = [(block.prefixlen, name) for block, name in blocks if wanted in block]
    return max(holding)[1] if holding else ""


def _refuse_blind(spec: Spec) -> None:
    if not spec.exporter.enable or spec.exporter.type is not ExporterType.EBPF:
        raise UsageError(
            f"the demo has nothing to show with exporter.enable: {str(spec.exporter.enable).lower()} and "
            f"exporter.type: {spec.exporter.type}; it needs true and eBPF"
        )


def _replaced(spec: Spec) -> list[str]:
    notes = []
    if spec.storage.type is not StorageType.EMBEDDED:
        where = f"storage {spec.storage.type} at {spec.storage.address}"
        notes.append(f"{where} is replaced by a store of the demo's own, gone afterwards")
    if spec.collector.address not in (LOOPBACK, "localhost"):
        where = f"collector {spec.collector.address}:{spec.collector.port}"
        notes.append(f"{where} is replaced by the demo's own on {LOOPBACK}")
    if not spec.console_plugin.enable:
        notes.append("consolePlugin.enable: false is not followed, because the demo's report asks the console's API")
    return notes
