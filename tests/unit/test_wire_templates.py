# SPDX-License-Identifier: Apache-2.0
"""Templates: announced, refreshed, redefined in the middle of things, withdrawn, broken, and too many."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from flowgauge.wire import streams as streams_module
from flowgauge.wire import templates as templates_module
from flowgauge.wire.budget import Budget
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.elements import Elements
from flowgauge.wire.layout import Layouts
from flowgauge.wire.template_records import MAX_FIELDS, ipfix_definitions
from flowgauge.wire.templates import MAX_KNOWN_SET_BYTES, Announcement, Templates
from wire_kit import BASIC, a_set, basic, basic_template, column, decode, message, template

SWAPPED = (*BASIC[:5], (2, 4), (1, 4))
"""As BASIC with bytes and packets in the other order."""


def test_a_template_serves_later_batches() -> None:
    decoder = Decoder()
    decode(message(basic_template()), decoder=decoder)
    decoded = decode(message(a_set(256, basic(5))), decoder=decoder)
    assert column(decoded, "bytes") == [5]


def test_a_refresh_changes_nothing() -> None:
    decoder = Decoder()
    counts = [decode(message(basic_template()), decoder=decoder).counts for _ in range(3)]
    assert counts == [{"decode_template_changes": 1}, {}, {}]


def test_what_is_added_to_a_long_announcement_that_is_known_is_taken_over() -> None:
    """As much of one is remembered as the other has in common with it."""
    decoder = Decoder()
    of_32_bytes = BASIC  # seven fields of four bytes and the record's header
    known = b"".join(template(number, of_32_bytes) for number in range(300, 300 + MAX_KNOWN_SET_BYTES // 32))
    assert len(known) == MAX_KNOWN_SET_BYTES
    for sequence, content in enumerate((known, known, known + template(256, BASIC))):
        decode(message(a_set(2, content), sequence=sequence), decoder=decoder)
    assert column(decode(message(a_set(256, basic(5))), decoder=decoder), "bytes") == [5]


def test_a_template_belongs_to_exporter_and_domain() -> None:
    decoder = Decoder()
    decode(message(basic_template(), domain=1), decoder=decoder, source="192.0.2.1")
    for source, domain, known in (("192.0.2.1", 1, True), ("192.0.2.1", 2, False), ("192.0.2.2", 1, False)):
        decoded = decode(message(a_set(256, basic(1)), domain=domain), decoder=decoder, source=source)
        assert ("decode_records" in decoded.counts) is known


def test_the_same_id_means_different_layouts_in_different_domains() -> None:
    decoded = decode(
        message(basic_template(), a_set(256, basic(10, 3)), domain=1),
        message(a_set(2, template(256, SWAPPED)), a_set(256, basic(10, 3)), domain=2),
    )
    found = dict(zip(column(decoded, "obs_domain_id"), column(decoded, "bytes"), strict=True))
    assert found == {1: 10, 2: 3}


def test_records_before_a_redefinition_are_read_by_the_old_layout() -> None:
    """In one batch, and even in one message."""
    decoded = decode(
        message(basic_template(), a_set(256, basic(10, 3))),
        message(a_set(256, basic(20, 4)), a_set(2, template(256, SWAPPED)), a_set(256, basic(30, 5)), sequence=1),
        message(a_set(256, basic(40, 6)), sequence=3),
    )
    assert sorted(column(decoded, "bytes")) == [5, 6, 10, 20]


def test_data_before_their_template_in_one_batch_are_read_by_it() -> None:
    decoded = decode(message(a_set(256, basic(1))), message(basic_template(), sequence=1))
    assert column(decoded, "bytes") == [1]


def test_an_id_may_change_from_data_to_options() -> None:
    decoder = Decoder()
    decode(message(basic_template()), decoder=decoder)
    options = a_set(3, template(256, ((149, 4), (34, 4)), scope=1))
    decoded = decode(message(options, a_set(256, struct.pack("!II", 1, 50))), decoder=decoder)
    assert decoded.options[0].records == ({"observationDomainId": 1, "samplingInterval": 50},)
    assert "decode_records" not in decoded.counts


@pytest.mark.parametrize("withdrawal", [a_set(2, struct.pack("!HH", 256, 0)), a_set(2, struct.pack("!HH", 2, 0))])
def test_a_withdrawn_template_is_gone(withdrawal: bytes) -> None:
    decoder = Decoder()
    decode(message(basic_template()), decoder=decoder)
    decoded = decode(message(a_set(256, basic(1)), withdrawal, a_set(256, basic(2))), decoder=decoder)
    assert column(decoded, "bytes") == [1]
    assert decoded.counts["decode_unknown_template_sets"] == 1


def test_withdrawing_all_options_templates_keeps_data_templates() -> None:
    decoder = Decoder()
    decode(message(basic_template(), a_set(3, template(300, ((149, 4), (34, 4)), scope=1))), decoder=decoder)
    decoded = decode(message(a_set(3, struct.pack("!HH", 3, 0)), a_set(256, basic(1))), decoder=decoder)
    assert decoded.counts == {"decode_records": 1, "decode_template_changes": 1}


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        (struct.pack("!HH", 256, 3) + struct.pack("!HH", 8, 4), "template_length"),
        (struct.pack("!HHHH", 256, 1, 8 | 0x8000, 4), "template_length"),
        (struct.pack("!HHHH", 256, 1, 8, 0), "template_size"),
        (struct.pack("!HH", 256, MAX_FIELDS + 1), "template_fields"),
    ],
)
def test_a_broken_redefinition_leaves_no_stale_layout(broken: bytes, cause: str) -> None:
    decoder = Decoder()
    decode(message(basic_template()), decoder=decoder)
    decoded = decode(message(a_set(2, broken), a_set(256, basic(1))), decoder=decoder)
    assert [problem.cause for problem in decoded.problems] == [cause]
    assert decoded.counts["decode_unknown_template_sets"] == 1
    assert "decode_records" not in decoded.counts


def test_templates_before_a_broken_one_in_the_same_set_are_kept() -> None:
    decoded = decode(message(a_set(2, template(256, BASIC), struct.pack("!HH", 9, 1)), a_set(256, basic(1))))
    assert column(decoded, "bytes") == [1]
    assert [(p.cause, p.found) for p in decoded.problems] == [("template_header", "9")]


@pytest.mark.parametrize("scope", [0, 3])
def test_an_options_template_needs_a_scope(scope: int) -> None:
    record = struct.pack("!HHHHHHH", 300, 2, scope, 149, 4, 34, 4)
    decoded = decode(message(a_set(3, record)))
    assert [problem.cause for problem in decoded.problems] == ["template_scope"]


def test_fields_of_no_length_are_legal_beside_others() -> None:
    decoded = decode(message(a_set(2, template(256, ((8, 0), (1, 4)))), a_set(256, struct.pack("!I", 7))))
    assert column(decoded, "bytes") == [7]


def test_the_templates_of_one_domain_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one announced longest ago goes; announcing again keeps one."""
    monkeypatch.setattr(templates_module, "MAX_TEMPLATES", 3)
    decoder = Decoder()
    for at_ns, template_id in enumerate((256, 257, 258, 256, 259)):
        decode(message(basic_template(template_id)), decoder=decoder, received_ns=at_ns)
    known = [i for i in range(256, 260) if "decode_records" in decode(message(a_set(i, basic(1))), decoder=decoder).counts]
    assert known == [256, 258, 259]


def test_announced_again_in_one_batch_a_template_lives_as_long_as_the_last_second_it_was_heard_in() -> None:
    decoder = Decoder(template_lifetime_s=100)
    announced = Datagrams.from_payloads([message(basic_template())] * 4, "192.0.2.1")
    counted = decoder.decode(replace(announced, received_ns=np.array([0, 0, 60, 60]) * 10**9))
    assert counted.counts == {"decode_template_changes": 1}
    assert counted.seen["templates"] == 4
    assert "decode_records" in decode(message(a_set(256, basic(1))), decoder=decoder, received_ns=150 * 10**9).counts
    assert "decode_records" not in decode(message(a_set(256, basic(1))), decoder=decoder, received_ns=220 * 10**9).counts


def test_beyond_their_bound_templates_go_in_the_order_of_their_latest_announcement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a model that keeps them in order, through thousands of announcements and withdrawals."""
    monkeypatch.setattr(templates_module, "MAX_TEMPLATES", 20)
    templates = Templates(ipfix_definitions, Layouts(Elements(0)), Budget(1 << 20))
    random, order = np.random.default_rng(1), list[int]()
    for at_ns, number in enumerate(random.integers(256, 290, 3000).tolist()):
        withdrawn = number in order and at_ns % 7 == 0
        record = struct.pack("!HH", number, 0) if withdrawn else template(number, BASIC)
        templates.learn(Announcement(record, 2, 0, at_ns))
        order = [other for other in order if other != number] + ([] if withdrawn else [number])
        order = order[-20:]
        assert {held.template.template_id for held in templates} == set(order)


def test_all_exporters_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporters not heard of for longest go, with their waiting data counted; whoever keeps sending stays."""
    monkeypatch.setattr(streams_module, "MAX_STREAMS", 3)
    decoder, dropped = Decoder(), 0
    decode(message(basic_template(), a_set(300, b"x"), domain=99), decoder=decoder)
    for domain in (1, 2, 3, 4):
        decoded = decode(message(basic_template(), domain=domain), message(basic_template(), domain=1), decoder=decoder)
        dropped += decoded.counts.get("decode_pending_dropped_sets", 0)
    known = [
        domain
        for domain in (1, 3, 4, 2, 99)
        if "decode_records" in decode(message(a_set(256, basic(1)), domain=domain), decoder=decoder).counts
    ]
    assert known == [1, 3, 4]
    assert dropped == 1


def test_the_fields_of_all_templates_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "MAX_FIELDS_IN_ALL", 3 * len(BASIC))
    decoder = Decoder()
    for domain in range(5):
        decode(message(basic_template(), domain=domain), decoder=decoder)
    counts = [decode(message(a_set(256, basic(1)), domain=domain), decoder=decoder).counts for domain in (4, 3, 2, 1, 0)]
    assert ["decode_records" in count for count in counts] == [True, True, True, False, False]
