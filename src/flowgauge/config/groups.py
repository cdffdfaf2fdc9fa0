# SPDX-License-Identifier: Apache-2.0
"""Which column groups are stored: those of every installation, those that agents are told to fill, and those asked for."""

from __future__ import annotations

from flowgauge.config.model import Feature, Spec
from flowgauge.schema.column import Stored
from flowgauge.schema.columns import DEFAULT_GROUPS

_OF_FEATURES = {
    Stored.PROCESS: {Feature.PROCESS, Feature.SOCKETS},
    Stored.PATH: {Feature.RTT_HISTOGRAM},
    Stored.TLS: {Feature.TLS},
    Stored.DNS: {Feature.DNS},
    Stored.L2: {Feature.MACS},
}


def stored_groups(spec: Spec) -> tuple[Stored, ...]:
    """The groups that the features of the agents need and the document asks for; taken over when the store starts."""
    features = set(spec.exporter.features)
    of_features = [group for group, needed in _OF_FEATURES.items() if needed & features]
    of_tunnels = [Stored.TUNNEL] if spec.exporter.tunnels == "inner" else []
    return tuple(dict.fromkeys((*DEFAULT_GROUPS, *of_features, *of_tunnels, *spec.storage.index.columns)))
