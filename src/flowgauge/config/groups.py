# SPDX-License-Identifier: Apache-2.0
"""Which column groups are stored: those of every installation, and what the agents are told to tell besides."""

from __future__ import annotations

from flowgauge.config.model import Exporter, Feature
from flowgauge.schema.column import Stored
from flowgauge.schema.columns import DEFAULT_GROUPS

_OF_FEATURES = {
    Stored.PROCESS: {Feature.PROCESS, Feature.SOCKETS},
    Stored.PATH: {Feature.RTT_HISTOGRAM},
    Stored.TLS: {Feature.TLS},
    Stored.DNS: {Feature.DNS},
}


def stored_groups(exporter: Exporter) -> tuple[Stored, ...]:
    """The groups that the features of ``exporter`` need; taken over when the store starts."""
    of_features = [group for group, features in _OF_FEATURES.items() if features & set(exporter.features)]
    return (*DEFAULT_GROUPS, *of_features, *([Stored.TUNNEL] if exporter.tunnels == "inner" else []))
