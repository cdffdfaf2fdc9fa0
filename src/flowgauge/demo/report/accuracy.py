# SPDX-License-Identifier: Apache-2.0
"""Flows against interfaces: what the store says passed a pod's link, and what the kernel counted there.

All observations of the pod's own node count, those marked as duplicates of another node's too. With sampling the figures are
scaled estimates, and what must hold is that they lie within their error.

A rule on the pod's node may drop packets that the node has seen and the pod's link has not: these are taken off, as nftables
counted them. Of a connection that never was, nobody learns how it would have been translated: its packets go to the Service's
address, and belong to the pod when that is the only one behind the Service. (When a packet sent again gets through within the
same export interval, the row is translated, and holds those dropped before: so both kinds of rows count, and all drops go off.)

On a busy machine a device may drop what the hook has seen on its way out, and a packet may pass while counters are read: so
many packets more may be in flows, by the devices' own count. On a machine that keeps up there are none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from flowgauge.demo.report.tenants import Mask, during, has_text, is_address
from flowgauge.demo.scene.faults import Dropped
from flowgauge.demo.witness import Place
from flowgauge.flow.batch import FlowBatch

MAX_BYTE_ERROR = 0.001
SIGMAS = 4.0
"""A scaled estimate is off by more than four standard deviations in 1 of 16,000 cases."""
LARGEST_BYTES = 1500
"""Of a packet on the scene's links."""


@dataclass(slots=True)
class Account:
    """One place: what flows say (scaled by sampling), and the variance that sampling gives them.

    ``service`` is the address of the Service behind which the place's pod is alone, empty without one.
    """

    place: Place
    service: str = ""
    packets: int = 0
    bytes: int = 0
    packets_variance: float = 0.0
    bytes_variance: float = 0.0
    rate: int = 1

    @property
    def error(self) -> float:
        """Relative difference of the bytes, but for those that may be in flows; 0 where nothing passed."""
        wanted, unsure = self.place.layer3_bytes, self.place.unsure
        off = _beyond(self.bytes - wanted, unsure.layer3_bytes + LARGEST_BYTES * unsure.dropped)
        return abs(off) / wanted if wanted else float(off > 0)

    @property
    def packets_off(self) -> int:
        """How many packets flows have more (or, below 0, less) than the interface; not those of which it is unsure."""
        unsure = self.place.unsure
        return _beyond(self.packets - self.place.packets, unsure.packets + unsure.dropped)

    @property
    def within_error(self) -> bool:
        """Whether packets and bytes lie within what sampling allows.

        A dozen packets may have none of the few large ones, and then say too little of how far off their bytes can be: the
        truth tells more, since its packets' squared sizes add up to at most its bytes times the largest.
        """
        packets_off, bytes_off = abs(self.packets_off), abs(self.bytes - self.place.layer3_bytes)
        possible = (self.rate - 1) * self.place.layer3_bytes * LARGEST_BYTES
        bytes_variance = max(self.bytes_variance, possible)
        return packets_off <= SIGMAS * math.sqrt(self.packets_variance) and bytes_off <= SIGMAS * math.sqrt(bytes_variance)

    def add(self, batch: FlowBatch) -> None:
        """Counts the rows that passed this place."""
        rows = batch.take(self._mine(batch))
        rate = np.maximum(rows.array("sampling_rate").astype(np.float64), 1.0)
        self.rate = max(self.rate, int(rate.max(initial=1.0)))
        packets, size = rows.array("packets").astype(np.float64), rows.array("bytes").astype(np.float64)
        self.packets += round(float((packets * rate).sum()))
        self.bytes += round(float((size * rate).sum()))
        spread = rate * (rate - 1) * packets
        self.packets_variance += float(spread.sum())
        # Horvitz-Thompson with the squared mean size of each flow, as the store's answers have it.
        self.bytes_variance += float((spread * (size / np.maximum(packets, 1)) ** 2).sum())

    def _mine(self, batch: FlowBatch) -> Mask:
        mine = has_text(batch, "node_reporter", self.place.node.name)
        pod = self.place.pod
        if pod is None:
            return mine
        at_an_end = np.zeros(len(batch), np.bool_)
        for name in ("src_addr", "dst_addr", "post_nat_dst_addr"):
            at_an_end |= is_address(batch.array(name), pod.address)
        if self.service:
            untranslated = ~batch.array("post_nat_dst_addr").any(axis=1)
            at_an_end |= is_address(batch.array("dst_addr"), self.service) & untranslated
        return mine & during(batch, pod.tenure) & at_an_end


def _beyond(more: int, allowed: int) -> int:
    """``more``, or 0 when it is not below 0 and not above what is ``allowed``."""
    return 0 if 0 <= more <= allowed else more


@dataclass(slots=True)
class Accuracy:
    """All places of the scene."""

    accounts: list[Account] = field(default_factory=list)

    @classmethod
    def of(cls, places: Sequence[Place], lone_services: Mapping[str, str]) -> Accuracy:
        """Accounts of ``places``, whose last readings must have been taken; ``lone_services`` as ``TruthLog`` has them."""
        return cls([Account(place, lone_services.get(place.pod.address, "") if place.pod else "") for place in places])

    def add(self, batch: FlowBatch) -> None:
        """Counts a batch at every place."""
        for account in self.accounts:
            account.add(batch)

    def leave_out(self, dropped: Mapping[str, Dropped]) -> None:
        """Takes off what faults dropped on a pod's node before the pod's link: seen by the node, never by the interface."""
        for account in self.accounts:
            if account.place.pod is not None and (gone := dropped.get(account.place.pod.address)):
                account.packets -= gone.packets
                account.bytes -= gone.bytes

    def rows(self) -> list[dict[str, object]]:
        """One JSON object a place."""
        return [
            {
                "pod": account.place.name,
                "interface_bytes": account.place.layer3_bytes,
                "interface_packets": account.place.packets,
                "unsure_packets": account.place.unsure.packets + account.place.unsure.dropped,
                "flow_bytes": account.bytes,
                "flow_packets": account.packets,
                "error": account.error,
                "not_ip_frames": account.place.hook_frames,
                "not_ip_frames_nft": account.place.nft_frames,
            }
            for account in self.accounts
        ]
