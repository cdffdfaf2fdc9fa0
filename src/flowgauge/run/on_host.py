# SPDX-License-Identifier: Apache-2.0
"""What a document means on this machine and not on another: warnings for ``config check`` and for the start of ``run``."""

from __future__ import annotations

import socket

from flowgauge.agent.interface_choice import SAME_NODE_NOTE, InterfaceChoice, matches_nothing
from flowgauge.config.model import Exporter


def on_this_host(exporter: Exporter) -> dict[str, list[str]]:
    """Path → warnings, from this machine's interfaces."""
    if not exporter.enable or not exporter.interfaces:
        return {}
    choice = InterfaceChoice(exporter.interfaces, exporter.exclude_interfaces)
    names = [name for _, name in socket.if_nameindex()]
    warnings = [matches_nothing(pattern, "this host", names) for pattern in choice.unmatched(names)]
    return {"spec.exporter.interfaces": [*warnings, *([SAME_NODE_NOTE] if choice.only_named else [])]}
