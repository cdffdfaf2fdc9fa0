# SPDX-License-Identifier: Apache-2.0
"""Completeness from ledger changes."""

from __future__ import annotations

import pytest

from flowgauge.query.completeness import SILENT_MS, Completeness, percent_text, summed
from flowgauge.runtime.ledger import COUNTERS, Sum
from flowgauge.store.store import LedgerChange


def of(**counters: int) -> Completeness:
    return summed(LedgerChange("collector", "c@1", name, change, change) for name, change in counters.items())


def test_without_a_ledger_nothing_is_claimed() -> None:
    nothing = summed([])
    assert not nothing.known
    assert nothing.percent is None
    assert "unknown" in nothing.words


def test_a_collector_that_has_fallen_silent_is_no_sign_that_nothing_was_lost() -> None:
    told = [LedgerChange("collector", "c@1", "store_rows_written", 5, 5, told_ms=at_ms) for at_ms in (900_000, 1_000_000)]
    assert summed(told, heard_by_ms=1_000_000 + SILENT_MS - 1).words == "complete"
    assert summed(told, heard_by_ms=1_074_000).words == (
        "complete; the last 74 s are not known: no collector told its counters (`flowgauge logs` says why)"
    )
    assert summed(told).words == "complete", "nobody adds to a dataset"


def test_parts_that_saw_nothing_do_not_claim_that_all_is_there() -> None:
    silent = of(receive_datagrams=3, pipeline_duplicates_marked=2)
    assert silent.known
    assert silent.percent is None
    assert "nothing arrived" in silent.words


def test_all_that_was_offered_is_stored() -> None:
    whole = of(export_records_sent=110, decode_options_records=10, store_rows_written=100, kernel_packets_seen=7)
    assert (whole.percent, whole.words, whole.in_flight) == (100, "complete", 0)
    assert (whole.offered, whole.stored, whole.options, whole.lost) == (110, 100, 10, 0)


def test_losses_are_named_largest_first() -> None:
    part = of(export_records_sent=200, store_rows_written=180, sequence_gap_records=15, pipeline_late=5)
    assert part.percent == pytest.approx(90)
    assert [loss.counter for loss in part.losses] == ["sequence_gap_records", "pipeline_late"]
    assert part.words == (
        "90.00 % complete; missing: 15 records missing from the exporters' sequence numbers, "
        "5 flows older than the store accepts"
    )
    assert part.in_flight == 0


def test_packets_lost_in_the_kernel_count_too() -> None:
    part = of(store_rows_written=50, kernel_packets_in_flows=75, kernel_packets_table_full=25, kernel_packets_sampled_out=900)
    assert part.percent == pytest.approx(75)
    assert (part.packets_seen, part.packets_kept, part.packets_lost) == (100, 75, 25)


def test_what_is_on_its_way_is_no_loss() -> None:
    moving = of(export_records_sent=100, store_rows_written=80)
    assert moving.percent == 100
    assert moving.in_flight == 20


def test_explaining_counters_are_notes_not_losses() -> None:
    noted = of(store_rows_written=10, receive_socket_drops=3)
    assert noted.percent == 100
    assert [(note.counter, note.count, note.unit) for note in noted.notes] == [("receive_socket_drops", 3, "datagrams")]


@pytest.mark.parametrize("counter", [c for c in COUNTERS if c.side is Sum.LOST], ids=lambda c: c.name)
def test_every_loss_counter_lowers_the_percentage_and_is_named(counter: object) -> None:
    name = counter.name  # type: ignore[attr-defined]
    part = of(store_rows_written=1_000_000, kernel_packets_in_flows=1_000_000, **{name: 1})
    assert part.percent is not None
    assert part.percent < 100
    assert part.words.startswith("99.99 % complete; missing: 1 ")


def test_counters_of_a_newer_version_are_left_out() -> None:
    assert not summed([LedgerChange("agent", "a@1", "invented_tomorrow", 5, 5)]).known


def test_a_loss_is_never_rounded_away() -> None:
    assert percent_text(99.99999) == "99.99 %"
    assert percent_text(100) == "100 %"
