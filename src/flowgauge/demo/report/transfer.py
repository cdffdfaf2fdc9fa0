# SPDX-License-Identifier: Apache-2.0
"""The bulk transfer with offloads on, the hard case: one super-packet in the kernel is many packets on the wire.

What is sent again on a busy machine may have been lost before the sender's node saw it, or behind: so many may be in flows or
not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowgauge.demo.acts.bulk import Transfer
from flowgauge.demo.containers import BULK_PORT
from flowgauge.demo.report.tenants import has_text, is_address
from flowgauge.flow.batch import FlowBatch

MAX_ERROR = 0.001
TCP_IP_HEADER_BYTES = 52
"""IPv4 and TCP headers with the timestamp option, which Linux sends in every segment but the first two."""


@dataclass(slots=True)
class TransferAccount:
    """Flows from sender to receiver, as the sender's node reported them."""

    transfer: Transfer
    packets: int = 0
    bytes: int = 0

    def add(self, batch: FlowBatch) -> None:
        """Counts the rows that belong to the transfer."""
        sender, receiver = self.transfer.sender, self.transfer.receiver
        mine = has_text(batch, "node_reporter", sender.place.node.name)
        mine &= is_address(batch.array("src_addr"), sender.address) & is_address(batch.array("dst_addr"), receiver.address)
        mine &= batch.array("dst_port") == BULK_PORT  # faults make these two pods talk over another one
        rows = batch.take(mine)
        rate = np.maximum(rows.array("sampling_rate").astype(np.int64), 1)
        self.packets += int((rows.array("packets").astype(np.int64) * rate).sum())
        self.bytes += int((rows.array("bytes").astype(np.int64) * rate).sum())

    @property
    def payload_bytes(self) -> int:
        """Bytes of the application, as far as flows tell: layer 3 bytes less headers."""
        return self.bytes - TCP_IP_HEADER_BYTES * self.packets

    @property
    def packets_error(self) -> float:
        """Relative difference from the segments that the sender's kernel counted."""
        sent = self.transfer.segments
        return _outside(self.packets, sent.new, sent.new + sent.repeated)

    @property
    def bytes_error(self) -> float:
        """Relative difference from the bytes that the sender's TCP sent."""
        return _outside(self.payload_bytes, self.transfer.received_bytes, self.transfer.sent_bytes)

    def summary(self) -> dict[str, object]:
        """As the report has it."""
        return {
            "received_bytes": self.transfer.received_bytes,
            "sent_bytes": self.transfer.sent_bytes,
            "tcp_out_segs": self.transfer.segments.new,
            "tcp_retrans_segs": self.transfer.segments.repeated,
            "flow_packets": self.packets,
            "flow_bytes": self.bytes,
            "flow_payload_bytes": self.payload_bytes,
            "packets_error": self.packets_error,
            "bytes_error": self.bytes_error,
        }


def _outside(found: int, least: int, most: int) -> float:
    """How far off, relative; 0 between ``least`` and ``most``."""
    nearest = min(max(found, least), most)
    return abs(found - nearest) / nearest if nearest else 1.0
