# SPDX-License-Identifier: Apache-2.0
"""Messages and sets of IPFIX datagrams: what is whole is decoded, what is not is counted and named."""

from __future__ import annotations

import struct

import pytest

from flowgauge.flow.batch import FlowBatch
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.framing import MAX_SETS
from flowgauge.wire.pool import MAX_BUFFERS
from flowgauge.wire.problems import MAX_PROBLEMS
from wire_kit import a_set, basic, basic_template, column, decode, message


def test_an_empty_batch_and_empty_datagrams_are_no_problem() -> None:
    assert decode().counts == {}
    assert decode(b"", b"\0").counts == {"decode_unknown_version": 2}


def test_versions_that_nobody_has_are_counted() -> None:
    decoded = decode(b"\0\x06" + bytes(60), b"\0\x0b" + bytes(60), message(basic_template()))
    assert decoded.counts["decode_unknown_version"] == 2


def test_several_sets_and_records_and_messages_in_one_datagram() -> None:
    first = message(basic_template(), a_set(256, basic(1), basic(2)), a_set(256, basic(3)))
    second = message(a_set(256, basic(4)), sequence=3)
    decoded = decode(first + second, message(a_set(256, basic(5)), sequence=4))
    assert sorted(column(decoded, "bytes")) == [1, 2, 3, 4, 5]
    assert decoded.counts == {"decode_records": 5, "decode_template_changes": 1}


def test_padding_behind_records_and_sets_is_ignored() -> None:
    padded = a_set(256, basic(1), b"\0\0\0")
    decoded = decode(message(a_set(2, basic_template()[4:], b"\0\0"), padded, b"\0\0\0"))
    assert column(decoded, "bytes") == [1]
    assert not decoded.problems


def test_zeros_to_the_end_of_a_message_are_padding() -> None:
    decoded = decode(message(basic_template(), a_set(256, basic(1)), bytes(40)))
    assert column(decoded, "bytes") == [1]
    assert not decoded.problems


@pytest.mark.parametrize("length", [0, 1, 2, 3, 200, 65535])
def test_a_wrong_set_length_costs_the_rest_of_its_message_only(length: int) -> None:
    broken = struct.pack("!HH", 256, length) + basic(9)
    decoded = decode(message(basic_template(), a_set(256, basic(1)), broken), message(a_set(256, basic(2)), sequence=1))
    assert sorted(column(decoded, "bytes")) == [1, 2]
    assert decoded.counts["decode_error_datagrams"] == 1
    (problem,) = decoded.problems
    assert (problem.cause, problem.found) == ("set_length", str(length))
    assert problem.offset == 16 + len(basic_template()) + 4 + len(basic(1)) + 2


@pytest.mark.parametrize("length", [0, 15, 17, 65535])
def test_a_wrong_message_length_costs_its_datagram_only(length: int) -> None:
    broken = bytearray(message())
    struct.pack_into("!H", broken, 2, length)
    decoded = decode(bytes(broken), message(basic_template(), a_set(256, basic(1))))
    assert column(decoded, "bytes") == [1]
    assert [(p.cause, p.offset, p.expected, p.found) for p in decoded.problems] == [("message_length", 2, "16", str(length))]


def test_a_truncated_header_is_named() -> None:
    decoded = decode(message()[:12])
    assert [(p.cause, p.expected, p.found) for p in decoded.problems] == [("message_header", "16 bytes", "12")]


@pytest.mark.parametrize("set_id", [0, 1, 4, 255])
def test_sets_of_reserved_ids_are_passed_over(set_id: int) -> None:
    decoded = decode(message(basic_template(), a_set(set_id, b"12345678"), a_set(256, basic(1))))
    assert column(decoded, "bytes") == [1]
    assert [(p.cause, p.found) for p in decoded.problems] == [("set_id", str(set_id))]


def test_a_message_of_countless_empty_sets_ends_at_a_bound() -> None:
    decoded = decode(message(*[a_set(999)] * (MAX_SETS + 5)), message(basic_template(), a_set(256, basic(1))))
    assert column(decoded, "bytes") == [1]
    assert [p.cause for p in decoded.problems] == ["set_count"]


def test_a_flood_of_garbage_names_a_few_places_and_counts_all() -> None:
    decoded = decode(*[message()[:12]] * 500)
    assert len(decoded.problems) == MAX_PROBLEMS
    assert decoded.counts == {"decode_error_datagrams": 500}


def test_lengths_beyond_the_slot_are_not_believed() -> None:
    datagrams = Datagrams.from_payloads([message(basic_template(), a_set(256, basic(1)))])
    datagrams.lengths[0] = 1_000_000
    assert Decoder().decode(datagrams).counts["decode_records"] == 1


def test_rows_say_where_they_come_from() -> None:
    payload = message(basic_template(), a_set(256, basic(1)), domain=0xFFFFFFFF)
    decoded = decode(payload, source="2001:db8::7", received_ns=123)
    assert column(decoded, "obs_domain_id") == [0xFFFFFFFF]
    assert column(decoded, "exporter_addr")[0][:2] == [0x20, 0x01]
    assert column(decoded, "time_received_ns") == [123]
    assert column(decoded, "template_id") == [256]


def test_the_receiver_may_fill_its_buffer_again_at_once() -> None:
    datagrams = Datagrams.from_payloads([message(basic_template(), a_set(256, basic(7)))])
    decoded = Decoder().decode(datagrams)
    datagrams.payloads[...] = 0xFF
    datagrams.source_addr[...] = 0
    assert column(decoded, "bytes") == [7]
    assert column(decoded, "exporter_addr")[0][12:] == [127, 0, 0, 1]


def test_batches_that_somebody_holds_are_never_overwritten() -> None:
    """The decoder uses the memory of columns again, but only once nobody has any of them."""
    decoder = Decoder()
    decode(message(basic_template()), decoder=decoder)
    held = []
    for number in range(3 * MAX_BUFFERS):
        records = [basic(number * 100 + row) for row in range(30)]
        decoded = decode(message(a_set(256, *records), sequence=number * 30), decoder=decoder)
        # A whole batch, or one column of it, or only some rows of that.
        held.append((number, (decoded.flows, decoded.flows.array("bytes"), decoded.flows.array("bytes")[10:])[number % 3]))
    for number, kept in held:
        values = kept.array("bytes") if isinstance(kept, FlowBatch) else kept
        assert values.tolist() == [number * 100 + row for row in range(30)][-len(values) :]


def test_memory_of_columns_is_used_again() -> None:
    decoder = Decoder()
    decode(message(basic_template()), decoder=decoder)
    places = set()
    for number in range(20):
        flows = decode(message(a_set(256, *[basic(1)] * 30), sequence=number * 30), decoder=decoder).flows
        places.add(flows.array("bytes").__array_interface__["data"][0])
        del flows
    assert len(places) <= 2


def test_an_empty_set_that_ends_the_fullest_datagram_of_a_batch() -> None:
    """It begins where the buffer ends."""
    payload = message(basic_template(), a_set(256, basic(1)), a_set(256))
    assert len(decode(payload).flows) == 1
    assert len(decode(*[payload] * 3).flows) == 3
