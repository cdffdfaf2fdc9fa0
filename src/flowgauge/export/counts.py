# SPDX-License-Identifier: Apache-2.0
"""What became of the flows of an export."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """Flows, but for the last. What was offered and not sent has failed, whatever the reason.

    Attributes:
        offered: handed to the exporter.
        sent: over UDP handed to the network, over TCP and TLS acknowledged by the receiver's machine.
        repeated: sent again since a connection broke before they were acknowledged; the receiver may have some twice.
        reconnects: how often the receiver was there again after an absence.
    """

    offered: int = 0
    sent: int = 0
    repeated: int = 0
    reconnects: int = 0

    @property
    def failed(self) -> int:
        """Neither sent nor, once the exporter is closed, under way."""
        return self.offered - self.sent
