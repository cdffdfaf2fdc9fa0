# SPDX-License-Identifier: Apache-2.0
"""One pass over all that the store holds of the run; every judge sees every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowgauge.demo.acts.bulk import Transfer
from flowgauge.demo.report.accuracy import Accuracy
from flowgauge.demo.report.edges import edges
from flowgauge.demo.report.identity import Identity
from flowgauge.demo.report.rows import batches
from flowgauge.demo.report.score import Score
from flowgauge.demo.report.signals import Signals
from flowgauge.demo.report.transfer import TransferAccount
from flowgauge.demo.truth import TruthLog
from flowgauge.demo.witness import Place
from flowgauge.schema.flow_query import Window
from flowgauge.store.answer import Edge
from flowgauge.store.store import FlowStore


@dataclass(frozen=True, slots=True)
class Reading:
    """What the store says about the run."""

    edges: Sequence[Edge]
    accuracy: Accuracy
    identity: Identity
    transfer: TransferAccount | None
    signals: Sequence[Score]


def read(
    store: FlowStore, window: Window, places: Sequence[Place], truth: TruthLog, *, transfer: Transfer | None, signals: Signals
) -> Reading:
    """Reads every stored flow of ``window`` once; raises what the store raises."""
    accuracy, identity = Accuracy.of(places, truth.services()), Identity(truth)
    account = TransferAccount(transfer) if transfer else None
    for batch in batches(store, window):
        accuracy.add(batch)
        identity.add(batch)
        signals.add(batch)
        if account:
            account.add(batch)
    accuracy.leave_out(signals.truth.dropped)
    # The bulk pods' links carry super-packets: their frames cannot equal the packets in them.
    bulky = {transfer.sender.name, transfer.receiver.name} if transfer else set()
    accuracy.accounts = [one for one in accuracy.accounts if one.place.name not in bulky]
    return Reading(edges(store, window), accuracy, identity, account, signals.scores())
