# SPDX-License-Identifier: Apache-2.0
"""Messages that nobody has taken yet: each ends as sent or as failed, never as both."""

from __future__ import annotations

import pytest

from flowgauge.agent import backlog
from flowgauge.agent.backlog import Backlog
from flowgauge.agent.not_sent import NotSent
from flowgauge.export.messages import Message
from flowgauge.runtime.ledger import Ledger


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "BACKLOG_BYTES", 30)


def message(records: int) -> Message:
    return Message(bytes(10), records, records)


def test_the_oldest_go_where_there_is_no_room() -> None:
    ledger = Ledger("agent", "node-a@1")
    kept = Backlog(NotSent(ledger))
    for records in (1, 2, 4, 8, 16):
        kept.keep(message(records))
    assert ledger.snapshot()["export_records_failed"] == 1 + 2
    assert [one.records for one in kept.give_up()] == [4, 8, 16]
    assert kept.size_bytes == 0


def test_a_message_in_hand_is_not_given_up() -> None:
    """It may have been sent when room is made, and is counted by whoever sends it."""
    ledger = Ledger("agent", "node-a@1")
    kept = Backlog(NotSent(ledger))
    for records in (1, 2, 4):
        kept.keep(message(records))
    in_hand = kept.first()
    kept.keep(message(8))
    assert ledger.snapshot()["export_records_failed"] == 2
    assert in_hand is not None
    kept.take(in_hand)
    assert [one.records for one in kept.give_up()] == [4, 8]


def test_what_is_on_its_way_to_one_collector_is_not_given_to_another() -> None:
    kept = Backlog(NotSent(Ledger("agent", "node-a@1")))
    for records in (1, 2):
        kept.keep(message(records))
    in_hand = kept.first()
    assert [one.records for one in kept.give_up_the_rest()] == [2]
    assert (len(kept), kept.size_bytes) == (1, 10)
    assert in_hand is not None
    kept.take(in_hand)
    assert kept.give_up_the_rest() == kept.give_up() == []


def test_what_was_given_up_meanwhile_takes_nothing_else_with_it() -> None:
    kept = Backlog(NotSent(Ledger("agent", "node-a@1")))
    kept.keep(message(1))
    in_hand = kept.first()
    kept.give_up()
    kept.keep(message(2))
    assert in_hand is not None
    kept.take(in_hand)
    assert [one.records for one in kept.give_up()] == [2]
