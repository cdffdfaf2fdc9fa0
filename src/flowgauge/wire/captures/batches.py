# SPDX-License-Identifier: Apache-2.0
"""Batches of datagrams as the decoder takes them, of the exports in a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from flowgauge.errors import WireError
from flowgauge.wire.captures.packet import Export
from flowgauge.wire.datagrams import MIN_SLOT_BYTES, Datagrams

MAX_DATAGRAMS = 1024
"""Datagrams of one batch: what a collector takes at once."""
MAX_BATCH_BYTES = 4 << 20
"""Slots of one batch; all are as long as its longest datagram, so a jumbo one makes the batch shorter."""


def batches(found: Iterable[Export]) -> Iterator[list[Export]]:
    """Groups exports, in their order.

    Raises:
        WireError: from ``found``, once everything before it has been given.
    """
    batch: list[Export] = []
    slot, damage = MIN_SLOT_BYTES, None
    try:
        for export in found:
            longest = max(slot, len(export.payload))
            if batch and (len(batch) >= MAX_DATAGRAMS or longest * (len(batch) + 1) > MAX_BATCH_BYTES):
                yield batch
                batch, longest = [], max(MIN_SLOT_BYTES, len(export.payload))
            batch.append(export)
            slot = longest
    except WireError as error:
        damage = error
    if batch:
        yield batch
    if damage:
        raise damage


def datagrams(batch: list[Export]) -> Datagrams:
    """The columns of a batch."""
    lengths = np.array([len(export.payload) for export in batch], np.int32)
    slot = max(int(lengths.max()), MIN_SLOT_BYTES)
    missing = np.array([export.missing for export in batch], np.int32)
    content = b"".join([export.payload.ljust(slot, b"\0") for export in batch])
    return Datagrams(
        payloads=np.frombuffer(content, np.uint8).reshape(-1, slot),
        lengths=lengths,
        source_addr=np.frombuffer(b"".join([export.sender for export in batch]), np.uint8).reshape(-1, 16),
        source_port=np.array([export.port for export in batch], np.uint16),
        received_ns=np.array([export.time_ns for export in batch], np.int64),
        missing=missing if missing.any() else None,
    )
