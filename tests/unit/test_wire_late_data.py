# SPDX-License-Identifier: Apache-2.0
"""Data that come before their template wait, within bounds, and are decoded when it comes."""

from __future__ import annotations

import struct

import pytest

from flowgauge.wire import pending as pending_module
from flowgauge.wire.budget import Budget
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.pending import Pending, PendingSet
from wire_kit import a_set, basic, basic_template, column, decode, message, template


def test_waiting_data_come_out_with_their_template_and_their_own_times() -> None:
    decoder = Decoder()
    first = decode(message(a_set(256, basic(1), basic(2)), export_s=100), decoder=decoder, received_ns=5)
    assert first.counts == {"decode_unknown_template_sets": 1}
    second = decode(message(basic_template(), a_set(256, basic(3)), sequence=2, export_s=200), decoder=decoder, received_ns=9)
    assert second.counts == {"decode_records": 3, "decode_late_records": 2, "decode_template_changes": 1}
    assert sorted(zip(column(second, "bytes"), column(second, "time_received_ns"), strict=True)) == [(1, 5), (2, 5), (3, 9)]
    assert sorted(set(column(second, "time_end_ns"))) == [100_000_000_000, 200_000_000_000]
    assert set(column(second, "obs_domain_id")) == {1}


def test_waiting_options_come_out_too() -> None:
    decoder = Decoder()
    decode(message(a_set(300, struct.pack("!II", 1, 50))), decoder=decoder)
    decoded = decode(message(a_set(3, template(300, ((149, 4), (34, 4)), scope=1))), decoder=decoder)
    assert decoded.options[0].records == ({"observationDomainId": 1, "samplingInterval": 50},)
    assert decoded.counts["decode_late_records"] == 1


def test_waiting_data_are_decoded_once() -> None:
    decoder = Decoder()
    decode(message(a_set(256, basic(1))), decoder=decoder)
    decode(message(basic_template()), decoder=decoder)
    assert "decode_records" not in decode(message(basic_template()), decoder=decoder).counts


def test_other_exporters_do_not_get_them() -> None:
    decoder = Decoder()
    decode(message(a_set(256, basic(1))), decoder=decoder, source="192.0.2.1")
    assert "decode_records" not in decode(message(basic_template()), decoder=decoder, source="192.0.2.2").counts


def test_malformed_waiting_data_are_named_when_they_are_read() -> None:
    decoder = Decoder()
    decode(message(a_set(256, b"\xffxx")), decoder=decoder)
    decoded = decode(message(a_set(2, template(256, ((82, 65535), (1, 1))))), decoder=decoder)
    assert [problem.cause for problem in decoded.problems] == ["record_length"]
    assert decoded.counts["decode_error_datagrams"] == 1


def test_one_domain_keeps_a_bounded_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go, and are counted."""
    monkeypatch.setattr(pending_module, "MAX_STREAM_BYTES", 3 * len(basic(1)))
    decoder = Decoder()
    counts = decode(*[message(a_set(256, basic(octets))) for octets in range(5)], decoder=decoder).counts
    assert counts["decode_unknown_template_sets"] == 5
    assert counts["decode_pending_dropped_sets"] == 2
    decoded = decode(message(basic_template()), decoder=decoder)
    assert sorted(column(decoded, "bytes")) == [2, 3, 4]


def test_all_domains_together_keep_a_bounded_number_of_bytes() -> None:
    budget = Budget(100)
    first, second = Pending(budget), Pending(budget)
    assert first.keep(PendingSet(256, bytes(60), 0, 0, 0)) == 0
    assert second.keep(PendingSet(256, bytes(60), 0, 0, 0)) == 1
    assert first.take({256})
    assert second.keep(PendingSet(256, bytes(60), 0, 0, 0)) == 0
    assert second.clear() == 1
    assert budget.left == 100


def test_what_still_waits_at_the_end_is_counted() -> None:
    decoder = Decoder()
    decode(message(a_set(256, basic(1))), decoder=decoder)
    assert decoder.finish() == {"decode_pending_dropped_sets": 1}
    assert decoder.finish() == {}
