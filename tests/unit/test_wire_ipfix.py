# SPDX-License-Identifier: Apache-2.0
"""IPFIX framing, counters, times, types, interfaces and events (traps 36-40, 48, 49, 54-58, 61-66, 91)."""

from __future__ import annotations

import struct

import pytest

from flowgauge.flow.addresses import packed
from flowgauge.schema.enums import FLOW_DIRECTION, RECORD_KIND
from flowgauge.wire.decoder import Decoder
from ipfix_records_kit import (
    CISCO,
    ENDS,
    KEY,
    MS,
    S,
    details,
    one_set,
    rows,
    value,
)
from wire_kit import EXPORT_S, VARIABLE, Spec, a_set, basic, basic_template, column, decode, message, template

# --- framing ------------------------------------------------------------------------------------------------------------------


def test_trap_48_several_messages_in_one_datagram() -> None:
    first, second = message(basic_template(), a_set(256, basic(1))), message(a_set(256, basic(2)), sequence=1)
    assert sorted(column(decode(first + second), "bytes")) == [1, 2]


@pytest.mark.parametrize("length", [0, 15, 60000])
def test_trap_48_a_length_that_cannot_be(length: int) -> None:
    broken = bytearray(message(a_set(256, basic(1))))
    struct.pack_into("!H", broken, 2, length)
    decoded = decode(message(basic_template(), a_set(256, basic(2))), bytes(broken))
    assert column(decoded, "bytes") == [2]
    assert [problem.cause for problem in decoded.problems] == ["message_length"]


@pytest.mark.parametrize("set_id", [0, 1, 4, 255])
def test_trap_49_sets_of_reserved_ids_cost_nothing_else(set_id: int) -> None:
    decoded = decode(message(basic_template(), a_set(set_id, bytes(12)), a_set(256, basic(1))))
    assert column(decoded, "bytes") == [1]
    assert [(problem.cause, problem.found) for problem in decoded.problems] == [("set_id", str(set_id))]


def test_trap_36_a_withdrawn_template_makes_no_endless_records() -> None:
    withdrawn = a_set(2, struct.pack("!HH", 256, 0)), a_set(3, struct.pack("!HH", 257, 0)), a_set(3, struct.pack("!HH", 3, 0))
    decoded = decode(message(basic_template(), *withdrawn, a_set(256, basic(1))))
    assert not len(decoded.flows)
    assert not decoded.problems


def test_trap_38_padding_behind_records_of_variable_length() -> None:
    fields: list[Spec] = [(96, VARIABLE), (95, VARIABLE), (1, 4)]
    record = b"\x03dns" + b"\x00" + struct.pack("!I", 7)
    decoded = decode(message(a_set(2, template(256, fields)), a_set(256, record, bytes(3)), a_set(256, record)))
    assert column(decoded, "bytes") == [7, 7]
    assert not decoded.problems


def test_trap_40_enterprise_elements_in_options_templates() -> None:
    definition = a_set(3, template(300, [(149, 4), (12232, 8, CISCO), (82, 4)], scope=1))
    decoded = decode(message(definition, a_set(300, struct.pack("!I", 1) + b"business" + b"eth0")))
    assert decoded.options[0].records == ({"observationDomainId": 1, "pen9_12232": "business", "interfaceName": "eth0"},)


def test_trap_64_converted_v9_elements_are_the_v9_elements() -> None:
    """Converters put private ids under enterprise 4294967295, without their highest bit."""
    fields = [*KEY, (40001 - 0x8000, 4, 0xFFFFFFFF), (33002 - 0x8000, 2, 0xFFFFFFFF), (1, 4)]
    record = ENDS + bytes((198, 51, 100, 7)) + b"\x07\xd1" + struct.pack("!I", 5)
    assert value(fields, record, "post_nat_src_addr") == list(packed("198.51.100.7"))
    decoded, (detail,) = details(message(a_set(2, template(256, fields)), a_set(256, record)))
    assert detail.extra["ie33002"] == [2001]
    assert column(decoded, "bytes") == [5]


def test_trap_91_a_mapped_exporter_is_its_ipv4_form() -> None:
    decoder = Decoder()
    decode(message(basic_template()), decoder=decoder, source="192.0.2.1")
    assert column(decode(message(a_set(256, basic(5))), decoder=decoder, source="::ffff:192.0.2.1"), "bytes") == [5]


# --- counters, times, types ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([(23, 4), (85, 4), (1, 4)], 3),
        ([(23, 4), (85, 4)], 2),
        ([(23, 4)], 1),
        ([(352, 4), (23, 4)], 1),
    ],
)
def test_trap_54_delta_total_post_in_this_order_and_never_added(fields: list[Spec], expected: int) -> None:
    assert value(fields, b"".join(struct.pack("!I", 1 + place) for place in range(len(fields))), "bytes") == expected


NTP = EXPORT_S + 2_208_988_800


@pytest.mark.parametrize(
    ("element", "raw", "after_ns"),
    [
        (157, struct.pack("!II", NTP - 5, 1 << 31), -4_500_000_000),
        (157, struct.pack("!Q", EXPORT_S * S - 5), -5),  # VPP: Unix ns
        (155, struct.pack("!Q", EXPORT_S * 10**6 - 5), -5_000),  # Unix µs
        (157, struct.pack("!Q", EXPORT_S * 1000 - 5), -5 * MS),  # Unix ms
        (153, struct.pack("!Q", EXPORT_S * 1000 - 5), -5 * MS),
        (153, struct.pack("!I", EXPORT_S - 5), -5 * S),  # Sophos: 32 bits of seconds
        (153, struct.pack("!Q", EXPORT_S * S - 5), -5),
        (151, struct.pack("!Q", EXPORT_S * 1000 - 5), -5 * MS),
        (323, struct.pack("!I", EXPORT_S - 5), -5 * S),
        (153, struct.pack("!Q", (EXPORT_S - 30 * 86_400) * 1000), -30 * 86_400 * S),  # old, but nothing else is nearer
    ],
)
def test_traps_55_and_56_the_export_time_tells_which_unit_was_meant(element: int, raw: bytes, after_ns: int) -> None:
    assert value([(element, len(raw)), (1, 4)], raw + bytes(4), "time_end_ns") == EXPORT_S * S + after_ns


@pytest.mark.parametrize(
    ("fields", "record", "start_ns", "end_ns"),
    [
        (((150, 4), (152, 8), (153, 8), (151, 4)), (EXPORT_S - 9, 0, 0, EXPORT_S - 5), -9 * S, -5 * S),
        (((150, 4), (152, 8), (153, 8), (151, 4)), (0, 1000 * EXPORT_S - 9, 0, EXPORT_S - 5), -9 * MS, -5 * S),
        (((150, 4), (152, 8), (153, 8), (151, 4)), (EXPORT_S - 9, 1000 * EXPORT_S - 8500, 1000 * EXPORT_S - 4500, EXPORT_S - 5),
         -8500 * MS, -4500 * MS),
        (((156, 8), (152, 8), (157, 8), (151, 4)), (0, 1000 * EXPORT_S - 9000, NTP - 4 << 32, EXPORT_S - 5), -9 * S, -4 * S),
        (((156, 8), (152, 8), (150, 4), (151, 4)), (0, 0, EXPORT_S - 9, EXPORT_S - 5), -9 * S, -5 * S),
        (((152, 8), (22, 4), (153, 8), (21, 4), (160, 8)), (0, 1000, 0, 2000, 1000 * EXPORT_S - 10_000), -9 * S, -8 * S),
        (((152, 8), (158, 4), (153, 8), (159, 4)), (0, 9_000_000, 0, 0), -9 * S, 0),
        (((324, 8), (323, 8)), (0, 1000 * EXPORT_S - 9000), -9 * S, -9 * S),
        (((152, 8), (150, 4), (153, 8), (151, 4)), (0, 0, 0, 0), -EXPORT_S * S, -EXPORT_S * S),
    ],
    ids=["seconds", "each end for itself", "both", "ntp", "the third", "uptime", "before the export", "observed", "none"],
)  # fmt: skip
def test_trap_55_a_finer_time_of_0_was_left_out_where_a_coarser_one_is_there(
    fields: tuple[Spec, ...], record: tuple[int, ...], start_ns: int, end_ns: int
) -> None:
    raw = b"".join(number.to_bytes(length, "big") for (_, length, *_), number in zip(fields, record, strict=True))
    (times,) = rows(one_set([*fields, (1, 4)], raw + bytes(4)), "time_start_ns", "time_end_ns")
    assert times == (EXPORT_S * S + start_ns, EXPORT_S * S + end_ns)


def test_trap_55_a_finer_time_of_0_is_judged_record_by_record() -> None:
    records = [struct.pack("!QII", fine, EXPORT_S - 5, n) for n, fine in enumerate((0, 1000 * EXPORT_S - 4500, 0))]
    found = rows(one_set([(153, 8), (151, 4), (1, 4)], *records), "bytes", "time_end_ns")
    assert found == [(0, EXPORT_S * S - 5 * S), (1, EXPORT_S * S - 4500 * MS), (2, EXPORT_S * S - 5 * S)]


def test_trap_56_each_record_for_itself() -> None:
    good, odd = struct.pack("!Q", EXPORT_S * 1000 - 5), struct.pack("!Q", EXPORT_S - 5)
    found = rows(one_set([(153, 8), (1, 4)], good + b"\0\0\0\1", odd + b"\0\0\0\2"), "bytes", "time_end_ns")
    assert found == [(1, EXPORT_S * S - 5 * MS), (2, EXPORT_S * S - 5 * S)]


def test_traps_57_and_58_floats_signs_and_booleans() -> None:
    fields: list[Spec] = [(149, 4), (320, 4), (321, 8), (434, 1), (276, 1), (276, 1), (311, 4)]
    definition = a_set(3, template(300, fields, scope=1))
    record = struct.pack("!If", 1, 0.5) + struct.pack("!d", 0.25) + b"\xff\x02\x01" + struct.pack("!f", 0.125)
    (told,) = decode(message(definition, a_set(300, record))).options
    assert told.records[0]["samplingProbability"] == 0.125
    assert told.records[0]["absoluteError"] == 0.5
    assert told.records[0]["relativeError"] == 0.25
    assert told.records[0]["mibObjectValueInteger"] == -1
    assert told.records[0]["dataRecordsReliability"] == 1


# --- interfaces, events, status -----------------------------------------------------------------------------------------------


def test_trap_61_physical_interfaces_stand_in_for_logical_ones_only() -> None:
    assert value([(252, 4), (10, 4), (253, 4), (14, 4)], struct.pack("!IIII", 1, 2, 3, 4), "in_if", "out_if") == (2, 4)
    assert value([(252, 4), (253, 4)], struct.pack("!II", 1, 3), "in_if", "out_if") == (1, 3)


def test_trap_62_translations_are_events() -> None:
    fields = [*KEY, (225, 4), (226, 4), (227, 2), (228, 2), (230, 1), (323, 8), (361, 2), (362, 2)]
    record = ENDS + bytes((198, 51, 100, 7, 203, 0, 113, 9)) + struct.pack("!HHBQHH", 2000, 3000, 1, EXPORT_S * 1000 + 5, 1, 2)
    decoded = one_set(fields, record)
    names = ("post_nat_src_addr", "post_nat_dst_addr", "post_nat_src_port", "post_nat_dst_port", "nat_event", "record_kind")
    assert rows(decoded, *names) == [("198.51.100.7", "203.0.113.9", 2000, 3000, 1, RECORD_KIND.index("event"))]
    assert column(decoded, "time_end_ns") == [EXPORT_S * S + 5 * MS]
    _, (detail,) = details(message(a_set(2, template(256, fields)), a_set(256, record)))
    assert detail.extra == {"portRangeStart": [1], "portRangeEnd": [2]}


@pytest.mark.parametrize(("raw", "status"), [(b"\x40", 64), (b"\x82", 130), (b"\0\0\0\x82", 130), (b"\0\x40", 64)])
def test_trap_63_forwarding_status_of_one_byte_or_four(raw: bytes, status: int) -> None:
    assert value([(89, len(raw))], raw, "forwarding_status") == status


def test_trap_65_records_may_name_another_exporter_than_the_sender() -> None:
    """Behind a relay; what the relay's options tell holds for them, too."""
    decoder = Decoder()
    v6 = packed("2001:db8::7")
    fields: list[Spec] = [(130, 4), (131, 16), (1, 4)]
    decoded = one_set(fields, bytes((198, 51, 100, 1)) + bytes(16) + b"\0\0\0\1", bytes(4) + v6 + b"\0\0\0\2",
                      bytes(20) + b"\0\0\0\3", decoder=decoder)  # fmt: skip
    assert rows(decoded, "exporter_addr", "bytes") == [("198.51.100.1", 1), ("2001:db8::7", 2), ("192.0.2.1", 3)]
    options = a_set(3, template(300, [(10, 4), (82, 4)], scope=1)), a_set(300, struct.pack("!I", 7) + b"eth0")
    (told,) = decode(message(*options, sequence=3), decoder=decoder).options
    assert told.exporter_addr == packed("192.0.2.1")
    assert set(told.also_addr) == {packed("198.51.100.1"), v6}


def test_trap_66_what_is_told_again_replaces_what_was_told() -> None:
    """Each set is handed on with its exporter and domain, in order of arrival."""
    definition = a_set(3, template(300, [(234, 4), (236, 8)], scope=1))
    first, second = (a_set(300, struct.pack("!I", 5) + name) for name in (b"blue\0\0\0\0", b"green\0\0\0"))
    messages = message(definition, first, domain=1), message(second, domain=1, sequence=1), message(definition, first, domain=2)
    options = sorted(decode(*messages).options, key=lambda each: each.position)
    told = [(each.obs_domain_id, each.records[0]["VRFname"]) for each in options]
    assert told == [(1, "blue"), (1, "green"), (2, "blue")]


def test_directions_of_a_flow() -> None:
    assert FLOW_DIRECTION[value([(61, 1), (1, 1)], b"\x01\x05", "flow_direction")] == "egress"
