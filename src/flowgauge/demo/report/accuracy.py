# SPDX-License-Identifier: Apache-2.0
"""Flows against interfaces: what the store says passed a pod's link, and what the kernel counted there.

All observations of the pod's own node count, those marked as duplicates of another node's too. With sampling the figures are
scaled estimates, and what must hold is that they lie within their error.

A rule on the pod's node may drop packets that the node has seen and the pod's link has not: these are taken off, as nftables
counted them. Of a connection that never was, nobody learns how it would have been translated: its packets go to the Service's
address, and belong to the pod when that is the only one behind the Service. (When a packet sent again gets through within the
same export interval, the row is translated, and holds those dropped before: so both kinds of rows count, and all drops go off.)
Of rows that stay untranslated no packet reached the pod, so no more of them count than were dropped of connections that were
not there yet: a late packet of a connection that the node no longer tracks goes to the Service's address as well, and ends at a
router.

An error of ICMP to a Service's address is not translated in flows either. It reaches the pod whose packet it is about, which
need not be the one on this node: so many packets fewer may be in flows.

On a busy machine a device may drop what the hook has seen on its way out, and a packet may pass while counters are read: so
many packets more may be in flows, by the devices' own count. On a machine that keeps up there are none.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from flowgauge.demo.report.tenants import Mask, during, has_text, is_address
from flowgauge.demo.scene.faults import Dropped
from flowgauge.demo.truth import Served
from flowgauge.demo.witness import Place
from flowgauge.flow.batch import FlowBatch

MAX_BYTE_ERROR = 0.001
SIGMAS = 4.0
"""A scaled estimate is off by more than four standard deviations in 1 of 16,000 cases."""
LARGEST_BYTES = 1500
"""Of a packet on the scene's links."""


@dataclass(slots=True)
class Untranslated:
    """What went to a Service's address, scaled, and flows do not say to which pod."""

    packets: int = 0
    bytes: int = 0

    def add(self, rows: FlowBatch) -> None:
        """Counts rows."""
        rate = np.maximum(rows.array("sampling_rate").astype(np.int64), 1)
        self.packets += int((rows.array("packets").astype(np.int64) * rate).sum())
        self.bytes += int((rows.array("bytes").astype(np.int64) * rate).sum())


@dataclass(slots=True)
class Account:
    """One place: what flows say (scaled by sampling), and the variance that sampling gives them.

    Attributes:
        service: address of the Service behind which the place's pod is; empty without one.
        alone: whether no other pod ever was behind it.
        unplaced: of what went to the Service untranslated, packets and bytes that reached no pod.
        perhaps: errors of ICMP to the Service, which reached this pod or another.
    """

    place: Place
    service: str = ""
    alone: bool = False
    unplaced: Untranslated = field(default_factory=Untranslated)
    perhaps: Untranslated = field(default_factory=Untranslated)
    packets: int = 0
    bytes: int = 0
    packets_variance: float = 0.0
    bytes_variance: float = 0.0
    rate: int = 1

    @property
    def error(self) -> float:
        """Relative difference of the bytes, but for those that may be in flows; 0 where nothing passed."""
        wanted, unsure = self.place.layer3_bytes, self.place.unsure
        off = _beyond(self.bytes - wanted, self.perhaps.bytes, unsure.layer3_bytes + LARGEST_BYTES * unsure.dropped)
        return abs(off) / wanted if wanted else float(off > 0)

    @property
    def packets_off(self) -> int:
        """How many packets flows have more (or, below 0, less) than the interface; not those of which it is unsure."""
        unsure = self.place.unsure
        return _beyond(self.packets - self.place.packets, self.perhaps.packets, unsure.packets + unsure.dropped)

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
        self._add_untranslated(batch)
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
        return mine & during(batch, pod.tenure) & at_an_end

    def _add_untranslated(self, batch: FlowBatch) -> None:
        """Counts the rows of the pod's node that went to its Service, and of which flows do not know to which pod."""
        if self.place.pod is None or not self.service:
            return
        rows = batch.take(
            during(batch, self.place.pod.tenure)
            & has_text(batch, "node_reporter", self.place.node.name)
            & is_address(batch.array("dst_addr"), self.service)
            & ~batch.array("post_nat_dst_addr").any(axis=1)
        )
        of_icmp = rows.array("proto") == socket.IPPROTO_ICMP
        self.perhaps.add(rows.take(of_icmp))
        if self.alone:
            self.unplaced.add(rows.take(~of_icmp))


def _beyond(more: int, below: int, above: int) -> int:
    """``more``, or 0 when it is at most so far ``below`` and ``above`` it."""
    return 0 if -below <= more <= above else more


@dataclass(slots=True)
class Accuracy:
    """All places of the scene."""

    accounts: list[Account] = field(default_factory=list)

    @classmethod
    def of(cls, places: Sequence[Place], services: Mapping[str, Served]) -> Accuracy:
        """Accounts of ``places``, whose last readings must have been taken; ``services`` as ``TruthLog`` has them."""
        served = [services.get(place.pod.address, Served()) if place.pod else Served() for place in places]
        return cls([Account(place, one.service, one.alone) for place, one in zip(places, served, strict=True)])

    def add(self, batch: FlowBatch) -> None:
        """Counts a batch at every place."""
        for account in self.accounts:
            account.add(batch)

    def leave_out(self, dropped: Mapping[str, Dropped]) -> None:
        """Takes off what faults dropped on a pod's node before the pod's link: seen by the node, never by the interface."""
        for account in self.accounts:
            if account.place.pod is not None and (gone := dropped.get(account.place.pod.address)):
                account.packets += min(account.unplaced.packets, gone.new_packets) - gone.packets
                account.bytes += min(account.unplaced.bytes, gone.new_bytes) - gone.bytes

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
