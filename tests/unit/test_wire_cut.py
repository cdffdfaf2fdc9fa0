# SPDX-License-Identifier: Apache-2.0
"""Datagrams of which only the beginning is there: what is whole in it is decoded, what is not is named once and counted."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

import netflow9_kit as v9
import sflow_kit as sflow
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoded, Decoder
from legacy_kit import datagram1, datagram5, record1, record5
from wire_kit import BASIC, VARIABLE, Spec, a_set, basic, basic_template, column, message, template

TEXTS: tuple[Spec, ...] = ((1, 4), (82, VARIABLE))
TEXT_TEMPLATE = message(a_set(2, template(300, TEXTS)))


def beginning(payload: bytes, size: int, decoder: Decoder | None = None) -> Decoded:
    """Decodes the first ``size`` bytes of a payload as what a capture has of it."""
    datagrams = Datagrams.from_payloads([payload[:size]], "192.0.2.1")
    return (decoder or Decoder()).decode(replace(datagrams, missing=np.array([len(payload) - size], np.int32)))


def whole(*payloads: bytes, decoder: Decoder) -> Decoded:
    return decoder.decode(Datagrams.from_payloads(payloads, "192.0.2.1"))


def text(octets: int, words: str) -> bytes:
    return struct.pack("!IB", octets, len(words)) + words.encode()


def only_cut(decoded: Decoded, payload: bytes, size: int) -> bool:
    """Whether the cut is all that is named: where it is, how long the datagram was, and how much of it there is."""
    named = [(p.cause, p.offset, p.expected, p.found) for p in decoded.problems]
    return named == [("datagram_cut", size, str(len(payload)), str(size))] and decoded.counts["decode_error_datagrams"] == 1


@pytest.mark.parametrize("records", [0, 1, 2, 3])
@pytest.mark.parametrize("more", [0, 1, 20])
def test_ipfix_up_to_the_cut(records: int, more: int) -> None:
    payload = message(basic_template(), a_set(256, *map(basic, range(1, 9))), a_set(256, basic(9)))
    size = 16 + len(basic_template()) + 4 + records * len(basic(1)) + more
    decoded = beginning(payload, size)
    assert column(decoded, "bytes") == list(range(1, records + 1)) if records else not len(decoded.flows)
    assert only_cut(decoded, payload, size)


def test_records_before_the_cut_and_gaps_in_the_numbers_are_all_that_was_offered() -> None:
    decoder = Decoder()
    payload = message(basic_template(), a_set(256, *map(basic, range(1, 9))), a_set(256, basic(9)))
    counts = beginning(payload, len(payload) - 100, decoder).counts
    after = whole(message(a_set(256, basic(10)), sequence=9), decoder=decoder)
    assert counts["decode_records"] == 4
    assert column(after, "bytes") == [10]
    assert decoder.finish() == {"sequence_gap_records": 5}


def test_of_several_messages_in_a_datagram_the_one_that_is_cut_ends_there() -> None:
    first, second = message(basic_template(), a_set(256, basic(1))), message(a_set(256, basic(2), basic(3)), sequence=1)
    decoded = beginning(first + second, len(first + second) - 1)
    assert column(decoded, "bytes") == [1, 2]
    assert only_cut(decoded, first + second, len(first + second) - 1)


def test_netflow9_up_to_the_cut() -> None:
    payload = v9.packet(v9.basic_template(), v9.flowset(256, *map(v9.basic, range(1, 9))))
    size = len(payload) - 2 * len(v9.basic(1)) - 1
    decoded = beginning(payload, size)
    assert column(decoded, "bytes") == [1, 2, 3, 4, 5]
    assert only_cut(decoded, payload, size)


@pytest.mark.parametrize("size", range(1, 16))
def test_a_header_that_is_cut_is_named_once(size: int) -> None:
    for payload in (message(basic_template()), v9.packet(v9.basic_template()), datagram5(record5()), sflow.datagram()):
        assert only_cut(beginning(payload, size), payload, size) or size == 1 or payload[:2] == b"\0\0"


@pytest.mark.parametrize(
    ("payload", "record"),
    [
        (datagram5(*[record5(bytes=number) for number in range(1, 6)]), record5()),
        (datagram1(*[record1(bytes=number) for number in range(1, 6)]), record1()),
        (datagram1(*[record1(size=48, bytes=number) for number in range(1, 6)]), record1(size=48)),
    ],
)
def test_netflow_1_and_5_up_to_the_cut(payload: bytes, record: bytes) -> None:
    for records in range(5):
        for size in (len(payload) - (5 - records) * len(record), len(payload) - (4 - records) * len(record) - 1):
            decoded = beginning(payload, size)
            assert column(decoded, "bytes") == list(range(1, records + 1)) if records else not len(decoded.flows)
            assert only_cut(decoded, payload, size)


def test_records_of_variable_length_up_to_the_cut() -> None:
    payload = message(a_set(300, *[text(number, "interface") for number in (1, 2, 3)]))
    for size in range(len(payload) - 14, len(payload)):
        decoder = Decoder()
        whole(TEXT_TEMPLATE, decoder=decoder)
        decoded = beginning(payload, size, decoder)
        assert column(decoded, "bytes") == [1, 2]
        assert only_cut(decoded, payload, size)


def test_a_record_that_leaves_a_whole_set_is_named_beside_the_cut() -> None:
    decoder = Decoder()
    whole(TEXT_TEMPLATE, decoder=decoder)
    payload = message(a_set(300, text(1, "a"), b"\0\0\0\2\xfe"), a_set(300, text(3, "b"), text(4, "c")))
    decoded = beginning(payload, len(payload) - 1, decoder)
    assert sorted(column(decoded, "bytes")) == [1, 3]
    assert [problem.cause for problem in decoded.problems] == ["datagram_cut", "record_length"]


def test_a_set_that_waits_for_its_template_is_still_cut_when_that_comes() -> None:
    decoder = Decoder()
    payload = message(a_set(300, text(1, "a"), text(2, "interface")))
    assert only_cut(beginning(payload, len(payload) - 3, decoder), payload, len(payload) - 3)
    late = whole(TEXT_TEMPLATE, decoder=decoder)
    assert column(late, "bytes") == [1]
    assert not late.problems


def test_options_up_to_the_cut() -> None:
    options = a_set(3, template(301, ((149, 4), (82, VARIABLE)), scope=1))
    payload = message(options, a_set(301, text(7, "eth0"), text(8, "eth1")))
    decoded = beginning(payload, len(payload) - 1)
    (told,) = decoded.options
    assert [record["interfaceName"] for record in told.records] == ["eth0"]
    assert only_cut(decoded, payload, len(payload) - 1)


@pytest.mark.parametrize("lost", range(1, 8))
def test_a_template_that_was_cut_leaves_the_one_in_force(lost: int) -> None:
    """Unlike one that is malformed: what it would have said is not known, and most templates are announced as they were."""
    decoder = Decoder()
    whole(message(basic_template()), decoder=decoder)
    again = message(a_set(2, template(257, TEXTS), template(256, BASIC)))
    decoded = beginning(again, len(again) - lost, decoder)
    assert only_cut(decoded, again, len(again) - lost)
    assert column(whole(message(a_set(256, basic(5))), decoder=decoder), "bytes") == [5]
    assert column(whole(message(a_set(257, text(6, "a"))), decoder=decoder), "bytes") == [6]


@pytest.mark.parametrize("lost", [1, 3, 5, 9, 12, 13])
def test_an_options_template_that_was_cut_leaves_the_one_in_force(lost: int) -> None:
    decoder = Decoder()
    options = a_set(3, template(301, ((149, 4), (82, VARIABLE)), scope=1))
    whole(message(options), decoder=decoder)
    assert only_cut(beginning(message(options), 16 + len(options) - lost, decoder), message(options), 16 + len(options) - lost)
    assert whole(message(a_set(301, text(7, "eth0"))), decoder=decoder).options[0].records[0]["interfaceName"] == "eth0"


def test_a_template_with_the_same_bytes_that_is_no_cut_one_is_malformed() -> None:
    decoder = Decoder()
    again = message(basic_template())
    beginning(again, len(again) - 4, decoder)
    malformed = message(a_set(2, basic_template()[4:-4]))
    assert [problem.cause for problem in whole(malformed, decoder=decoder).problems] == ["template_length"]


HEAD = sflow.ethernet(0x0800, sflow.ipv4(6, sflow.tcp(content=bytes(60))))
SWITCH = sflow.part(1001, sflow.words(7, 0, 7, 0))


def test_sflow_samples_up_to_the_cut_and_of_the_last_the_packets_head() -> None:
    """The sample that is cut counts as soon as its head shows an IP packet; a record behind the cut says nothing of it."""
    payload = sflow.datagram(
        sflow.flow_sample(sflow.raw(HEAD), SWITCH), sflow.flow_sample(sflow.raw(HEAD), SWITCH, sequence=2, pool=2000)
    )
    start = 28 + 8 + 32 + len(sflow.raw(HEAD)) + len(SWITCH) + 8 + 32 + 24
    found = {}
    for size in range(start, len(payload)):
        decoded = beginning(payload, size)
        assert only_cut(decoded, payload, size)
        rows = list(zip(*(column(decoded, name) for name in ("bytes", "src_port", "vlan_id")), strict=True))
        assert rows[0] == (100, 40000, 7)
        found[size - start] = rows[1:]
    assert found[14 + 19] == []
    assert found[14 + 20] == [(100, 0, 0)]
    assert found[14 + 20 + 4] == found[max(found)] == [(100, 40000, 0)]


def test_sflow_counters_of_which_records_are_missing() -> None:
    payload = sflow.datagram(sflow.counter_sample(sflow.interface_counters(3), sflow.part(1005, sflow.opaque(b"eth0"))))
    whole_record = len(payload) - len(sflow.part(1005, sflow.opaque(b"eth0")))
    told = beginning(payload, len(payload) - 1).counters
    assert [one.values["ifInOctets"] for one in told] == [10]
    assert [one.values for one in beginning(payload, whole_record - 1).counters] == [{}]


def test_a_message_that_is_longer_than_its_whole_datagram_is_malformed() -> None:
    """Nobody cut it (RFC 7011 §3.1): the exporter's lengths are wrong, and so may be the places of everything in it."""
    payload = message(basic_template(), a_set(256, basic(1), basic(2)))
    decoded = whole(payload[:-1], decoder=Decoder())
    assert not len(decoded.flows)
    assert [problem.cause for problem in decoded.problems] == ["message_length"]
