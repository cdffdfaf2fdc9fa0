# SPDX-License-Identifier: Apache-2.0
"""What a document means on this machine and not on another: warnings for ``config check`` and for the start of ``run``."""

from __future__ import annotations

import socket

from flowgauge.agent.interface_choice import SAME_NODE_NOTE, InterfaceChoice, matches_nothing
from flowgauge.collector.added_elements import added_elements
from flowgauge.config.model import Collector, Exporter, Spec
from flowgauge.errors import UsageError


def on_this_host(spec: Spec, *, agent: bool = True) -> dict[str, list[str]]:
    """Path → warnings, from this machine's interfaces, if an ``agent`` looks at them, and files."""
    interfaces = _of_interfaces(spec.exporter) if agent else []
    return {"spec.exporter.interfaces": interfaces, "spec.collector.elements": _of_files(spec.collector)}


def _of_interfaces(exporter: Exporter) -> list[str]:
    if not exporter.enable or not exporter.interfaces:
        return []
    choice = InterfaceChoice(exporter.interfaces, exporter.exclude_interfaces)
    names = [name for _, name in socket.if_nameindex()]
    warnings = [matches_nothing(pattern, "this host", names) for pattern in choice.unmatched(names)]
    return [*warnings, *([SAME_NODE_NOTE] if choice.only_named else [])]


def _of_files(collector: Collector) -> list[str]:
    try:
        added_elements(collector)
    except UsageError as error:
        return [f"the collector will refuse this: {error}"]
    return []
