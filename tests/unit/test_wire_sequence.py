# SPDX-License-Identifier: Apache-2.0
"""Sequence numbers: loss is counted exactly; late, duplicate and restarted are told apart from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from flowgauge.wire.decoder import Decoder
from flowgauge.wire.sequence import MAX_GAP_RECORDS, SETTLE_MESSAGES, SETTLE_NS
from wire_kit import a_set, basic, basic_template, decode, message, template

TEMPLATES = message(basic_template())


def numbered(sequence: int, records: int = 10, *, domain: int = 1, export_s: int = 1_767_000_000) -> bytes:
    return message(a_set(256, *[basic(1)] * records), sequence=sequence % 2**32, domain=domain, export_s=export_s)


def judged(messages: Iterable[bytes], *, batching: str, first: int = 0) -> Counter[str]:
    """The counts of sequence numbers over ``messages``, in one batch or each in its own, the end included."""
    decoder, counts = Decoder(), Counter[str]()
    decode(message(basic_template(), sequence=first % 2**32), decoder=decoder)
    batches = [list(messages)] if batching == "one batch" else [[payload] for payload in messages]
    for batch in batches:
        counts.update(decode(*batch, decoder=decoder).counts)
    counts.update(decoder.finish())
    return Counter({name: count for name, count in counts.items() if name.startswith("sequence_")})


@pytest.fixture(params=["one batch", "one by one"])
def batching(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_messages_in_order_lose_nothing(batching: str) -> None:
    assert judged(map(numbered, range(0, 100, 10)), batching=batching) == {}


def test_a_gap_is_a_loss_of_exactly_its_records(batching: str) -> None:
    assert judged([numbered(0), numbered(17), numbered(27), numbered(40)], batching=batching) == {"sequence_gap_records": 10}


def test_numbers_wrap(batching: str) -> None:
    start = 2**32 - 15
    counts = judged([numbered(start), numbered(start + 10), numbered(start + 25)], batching=batching, first=start)
    assert counts == {"sequence_gap_records": 5}


def test_what_came_late_is_not_lost(batching: str) -> None:
    messages = [numbered(0), numbered(20), numbered(30), numbered(10), numbered(40)]
    assert judged(messages, batching=batching) == {"sequence_late_datagrams": 1}


def test_of_a_gap_filled_in_part_the_rest_is_lost(batching: str) -> None:
    messages = [numbered(0), numbered(50), numbered(20), numbered(60)]
    assert judged(messages, batching=batching) == {"sequence_late_datagrams": 1, "sequence_gap_records": 30}


def test_a_duplicate_loses_nothing(batching: str) -> None:
    messages = [numbered(0), numbered(10), numbered(10), numbered(20), numbered(0)]
    assert judged(messages, batching=batching) == {"sequence_duplicate_datagrams": 2}


def test_a_restarted_exporter_loses_nothing(batching: str) -> None:
    messages = [numbered(s) for s in range(0, 50, 10)] + [numbered(s, export_s=1_767_000_100) for s in range(0, 50, 10)]
    assert judged(messages, batching=batching) == {"sequence_resets": 1}


def test_a_loss_right_after_a_restart_is_counted(batching: str) -> None:
    messages = [numbered(0), numbered(10), numbered(0, export_s=1_767_000_100), numbered(17, export_s=1_767_000_100)]
    assert judged(messages, batching=batching) == {"sequence_resets": 1, "sequence_gap_records": 7}


def test_a_message_much_too_late_does_not_pass_for_a_restart(batching: str) -> None:
    messages = [numbered(0), *map(numbered, range(20, 20 + 10 * (SETTLE_MESSAGES + 5), 10)), numbered(10)]
    messages.append(numbered(20 + 10 * (SETTLE_MESSAGES + 5)))
    assert judged(messages, batching=batching) == {"sequence_gap_records": 10, "sequence_late_datagrams": 1}


def test_templates_that_come_late_prove_nothing(batching: str) -> None:
    messages = [numbered(0), numbered(10), TEMPLATES, numbered(20)]
    assert judged(messages, batching=batching).keys() <= {"sequence_duplicate_datagrams"}


def test_a_jump_too_far_to_be_a_loss_is_a_restart(batching: str) -> None:
    far = MAX_GAP_RECORDS * 3
    messages = [numbered(0), numbered(far), numbered(far + 10), numbered(far + 20)]
    assert judged(messages, batching=batching) == {"sequence_resets": 1}


def test_domains_are_judged_apart(batching: str) -> None:
    decoder = Decoder()
    decode(message(basic_template(), domain=1), message(basic_template(), domain=2), decoder=decoder)
    decode(numbered(0, domain=1), numbered(0, domain=2), numbered(10, domain=2), numbered(15, domain=1), decoder=decoder)
    assert decoder.finish() == {"sequence_gap_records": 5}


def test_the_first_message_heard_starts_the_count() -> None:
    """What was sent before somebody listened is no loss of ours."""
    decoder = Decoder()
    decode(message(basic_template(), sequence=500), numbered(500), decoder=decoder)
    assert decoder.finish() == {}


def test_a_message_that_cannot_be_counted_starts_the_count_anew() -> None:
    decoder = Decoder()
    decode(TEMPLATES, numbered(0), message(a_set(999, b"x"), sequence=10), numbered(70), numbered(80), decoder=decoder)
    assert decoder.finish() == {"decode_pending_dropped_sets": 1}


def test_options_records_count_too() -> None:
    decoder = Decoder()
    options = a_set(3, template(300, ((149, 4),), scope=1))
    decode(message(basic_template(), options), message(a_set(300, b"\0\0\0\1", b"\0\0\0\2")), numbered(2), decoder=decoder)
    assert decoder.finish() == {}


def test_a_gap_is_called_a_loss_once_it_is_old() -> None:
    decoder = Decoder()
    decode(TEMPLATES, numbered(0), numbered(20), decoder=decoder, received_ns=1)
    soon = decode(numbered(30), decoder=decoder, received_ns=SETTLE_NS // 2)
    assert "sequence_gap_records" not in soon.counts
    later = decode(numbered(40), decoder=decoder, received_ns=SETTLE_NS + 1)
    assert later.counts["sequence_gap_records"] == 10
    assert decoder.finish() == {}


def test_a_gap_is_called_a_loss_in_time_also_where_our_clock_was_set_back() -> None:
    decoder, day_ns = Decoder(), 86_400 * SETTLE_NS
    decode(TEMPLATES, numbered(0), numbered(20), decoder=decoder, received_ns=day_ns)
    soon = decode(numbered(30), decoder=decoder, received_ns=0)
    assert "sequence_gap_records" not in soon.counts
    assert decode(numbered(40), decoder=decoder, received_ns=SETTLE_NS).counts["sequence_gap_records"] == 10


TELLS = a_set(3, template(300, ((144, 4), (167, 8)), scope=1))


def told(sequence: int, domain: int = 0) -> bytes:
    """As Open vSwitch tells of a bridge every ten minutes: in domain 0, numbered among the records of the bridge's domain."""
    return message(a_set(300, b"\0\0\0\7" + bytes(8)), sequence=sequence, domain=domain)


def of_a_switch(*payloads: bytes) -> list[bytes]:
    return [message(TELLS, domain=0), *payloads]


def test_what_domain_0_tells_of_the_exporter_is_no_gap_in_the_domain_it_is_numbered_with(batching: str) -> None:
    messages = of_a_switch(told(0), numbered(1), numbered(11), told(21), numbered(22), told(6000), told(9000))
    assert judged(messages, batching=batching) == {}
    again = [*messages[:-2], numbered(32), told(42), numbered(43)]
    assert judged(again, batching=batching) == {}


def test_what_domain_0_tells_late_is_no_gap_either(batching: str) -> None:
    assert judged(of_a_switch(numbered(0), numbered(11), told(10), numbered(21)), batching=batching) == {}


def test_a_loss_beside_what_domain_0_tells_is_counted(batching: str) -> None:
    messages = of_a_switch(numbered(0), told(10), numbered(21), numbered(31))
    assert judged(messages, batching=batching) == {"sequence_gap_records": 10}
    apart = of_a_switch(told(1000), numbered(0), numbered(11), numbered(21))
    assert judged(apart, batching=batching) == {"sequence_gap_records": 1}


def test_one_telling_explains_one_gap(batching: str) -> None:
    restarted = [numbered(s, export_s=1_767_000_100) for s in (0, 11, 21)]
    messages = of_a_switch(numbered(0), told(10), numbered(11), numbered(21), *restarted)
    assert judged(messages, batching=batching) == {"sequence_resets": 1, "sequence_gap_records": 1}


def test_a_domain_0_that_has_flows_is_judged_as_any_other(batching: str) -> None:
    messages = [message(basic_template(), TELLS, domain=0), numbered(0, domain=0), told(10), numbered(11, domain=0)]
    assert judged([*messages, numbered(26, domain=0), told(36)], batching=batching) == {"sequence_gap_records": 5}
