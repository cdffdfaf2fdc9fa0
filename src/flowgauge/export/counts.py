# SPDX-License-Identifier: Apache-2.0
"""What became of the flows of an export: offered = sent + failed, once it has finished."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """Flows, but for the last.

    Attributes:
        offered: handed to the exporter.
        sent: over UDP handed to the network, over TCP and TLS acknowledged by the receiver's machine.
        failed: neither.
        repeated: sent again since a connection broke before they were acknowledged; the receiver may have some twice.
        reconnects: how often the receiver was there again after an absence.
    """

    offered: int = 0
    sent: int = 0
    failed: int = 0
    repeated: int = 0
    reconnects: int = 0
