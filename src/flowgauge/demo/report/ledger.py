# SPDX-License-Identifier: Apache-2.0
"""The two sums of the ledger, from the cumulative counters of every part: what is left over must be nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowgauge.runtime.ledger import BY_NAME, Sum, merged


@dataclass(frozen=True, slots=True)
class Balance:
    """The sums over all parts.

    Attributes:
        offered, stored, options, chosen: records that agents sent, rows in the store, options records used, left out.
        losses: counter → records lost, only what is not zero.
        packets_seen, packets_kept, packets_chosen: in the nodes' kernels.
        packet_losses: counter → packets lost there.
        components: as the collector told them, for the report.
    """

    offered: int
    stored: int
    options: int
    chosen: int
    losses: Mapping[str, int]
    packets_seen: int
    packets_kept: int
    packets_chosen: int
    packet_losses: Mapping[str, int]
    components: list[dict[str, Any]]

    @property
    def residual(self) -> int:
        """Records that are neither stored, nor used, left out or lost by name."""
        return self.offered - self.stored - self.options - self.chosen - sum(self.losses.values())

    @property
    def packets_residual(self) -> int:
        """Packets that a kernel saw and of which it does not say what became."""
        return self.packets_seen - self.packets_kept - self.packets_chosen - sum(self.packet_losses.values())

    def summary(self) -> dict[str, object]:
        """As the report has it."""
        return {
            "offered": self.offered,
            "stored": self.stored,
            "options": self.options,
            "chosen": self.chosen,
            "losses": dict(self.losses),
            "residual": self.residual,
            "kernel": {
                "seen": self.packets_seen,
                "in_flows": self.packets_kept,
                "chosen": self.packets_chosen,
                "losses": dict(self.packet_losses),
                "residual": self.packets_residual,
            },
            "components": self.components,
        }


def balance(components: list[dict[str, Any]]) -> Balance:
    """Of ``components``: [{component, instance, counters}], as ``/api/v1/ledger`` answers."""
    total = merged({entry["instance"]: entry["counters"] for entry in components})
    stored = total.get("store_rows_written", 0)
    return Balance(
        offered=_sum(total, "records", Sum.OFFERED),
        stored=stored,
        options=_sum(total, "records", Sum.KEPT) - stored,
        chosen=_sum(total, "records", Sum.CHOSEN),
        losses=_each(total, "records"),
        packets_seen=_sum(total, "packets", Sum.OFFERED),
        packets_kept=_sum(total, "packets", Sum.KEPT),
        packets_chosen=_sum(total, "packets", Sum.CHOSEN),
        packet_losses=_each(total, "packets"),
        components=components,
    )


def _sum(total: Mapping[str, int], unit: str, side: Sum) -> int:
    known = ((BY_NAME[name], value) for name, value in total.items() if name in BY_NAME)
    return sum(value for counter, value in known if counter.unit == unit and counter.side is side)


def _each(total: Mapping[str, int], unit: str) -> dict[str, int]:
    known = ((BY_NAME[name], value) for name, value in total.items() if name in BY_NAME)
    return {counter.name: value for counter, value in known if counter.unit == unit and counter.side is Sum.LOST and value}
