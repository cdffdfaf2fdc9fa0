# SPDX-License-Identifier: Apache-2.0
"""Which element fills which column, in whatever width and combination exporters send it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pytest

from flowgauge.flow.addresses import from_texts, packed
from flowgauge.schema.columns import COLUMNS
from flowgauge.schema.iana import ELEMENTS, NUMBERS
from flowgauge.wire.elements import DATA_TYPES, Elements, our_elements
from wire_kit import EXPORT_S, PEN, VARIABLE, Spec, a_set, column, decode, message, template

NTP_TO_UNIX_S = 2_208_988_800


def value(fields: Sequence[Spec], record: bytes, *names: str) -> Any:
    """What one record says of the columns ``names``."""
    decoded = decode(message(a_set(2, template(256, fields)), a_set(256, record)))
    assert not decoded.problems
    assert len(decoded.flows) == 1
    found = [column(decoded, name)[0] for name in names]
    return found[0] if len(found) == 1 else tuple(found)


@pytest.mark.parametrize(
    ("element", "length", "raw", "name", "expected"),
    [
        (1, 8, b"\xff" * 8, "bytes", 2**64 - 1),
        (85, 8, b"\0" * 7 + b"\x05", "bytes", 5),
        (23, 4, b"\0\0\0\x06", "bytes", 6),
        (231, 4, b"\0\0\0\x07", "bytes", 7),
        (86, 4, b"\0\0\0\x08", "packets", 8),
        (298, 8, b"\0" * 7 + b"\x09", "packets", 9),
        (10, 2, b"\x01\x02", "in_if", 258),
        (252, 4, b"\0\0\x01\x02", "in_if", 258),
        (253, 4, b"\0\0\x01\x02", "out_if", 258),
        (6, 1, b"\x1b", "tcp_flags", 0x1B),
        (6, 2, b"\x01\x1b", "tcp_flags", 0x11B),
        (6, 2, b"\x5f\x1b", "tcp_flags", 0xF1B),
        (6, 4, b"\0\0\xa0\x12", "tcp_flags", 0x12),
        (5, 1, b"\xb8", "ip_tos", 0xB8),
        (195, 1, b"\x2e", "ip_tos", 0xB8),
        (195, 1, b"\xff", "ip_tos", 0xFC),
        (195, 4, b"\0\0\0\x2e", "ip_tos", 0xB8),
        (52, 1, b"\x40", "ip_ttl_min", 64),
        (58, 2, b"\0\x07", "vlan_id", 7),
        (243, 2, b"\0\x08", "vlan_id", 8),
        (58, 2, b"\xa0\x07", "vlan_id", 7),  # with priority and DEI
        (245, 2, b"\0\x09", "dot1q_customer_vlan_id", 9),
        (245, 4, b"\0\0\x20\x64", "dot1q_customer_vlan_id", 100),
        (16, 2, b"\xfd\xe8", "src_as", 65000),
        (17, 4, b"\0\x01\x00\x00", "dst_as", 65536),
        (89, 1, b"\x82", "forwarding_status", 130),
        (89, 4, b"\0\0\0\x82", "forwarding_status", 130),
        (136, 1, b"\x03", "flow_end_reason", 3),
        (230, 1, b"\x04", "nat_event", 4),
        (95, 4, b"\x0d\0\0\x35", "application_id", 0x0D000035),
        (56, 6, bytes(range(6)), "src_mac", list(range(6))),
        (80, 6, bytes(range(6)), "dst_mac", list(range(6))),
        (61, 1, b"\0", "flow_direction", 1),
        (61, 1, b"\x01", "flow_direction", 2),
        (61, 1, b"\x09", "flow_direction", 0),
        (34, 4, b"\0\0\x03\xe8", "sampling_rate", 1000),
        (34, 1, b"\x0a", "sampling_rate", 10),
        (50, 2, b"\x03\xe8", "sampling_rate", 1000),
        (35, 1, b"\x02", "sampling_algorithm", 1),
        (304, 2, b"\0\x03", "sampling_algorithm", 1),
        (96, 8, b"https\0\0\0", "application_name", "https"),
        (96, 8, b"https   ", "application_name", "https"),
    ],
)
def test_an_element_fills_its_column(element: int, length: int, raw: bytes, name: str, expected: Any) -> None:
    assert value([(element, length)], raw, name) == expected


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6, 7, 8, 12])
def test_integers_of_every_width(length: int) -> None:
    """RFC 7011 §6.2: leading zero bytes may be left out."""
    number = int.from_bytes(bytes(range(1, 13))[-min(length, 8) :], "big")
    raw = bytes(range(1, 13))[-length:]
    assert value([(2, length), (1, 1)], raw + b"\x05", "packets", "bytes") == (number, 5)


@pytest.mark.parametrize(("length", "found"), [(4, 300), (2, 300), (8, 300)])
def test_a_narrow_column_takes_wide_fields(length: int, found: int) -> None:
    assert value([(7, length)], found.to_bytes(length, "big"), "src_port") == found


def test_a_value_too_large_for_its_column_becomes_the_largest() -> None:
    assert value([(10, 8)], (2**40 + 1).to_bytes(8, "big"), "in_if") == 2**32 - 1


S, MS = 10**9, 10**6
T = 1_767_000_000
NTP = T + NTP_TO_UNIX_S


@pytest.mark.parametrize(
    ("fields", "raw", "start_ns", "end_ns"),
    [
        ([(152, 8), (153, 8)], struct.pack("!QQ", T * 1000 + 123, T * 1000 + 124), T * S + 123 * MS, T * S + 124 * MS),
        ([(150, 4), (151, 4)], struct.pack("!II", T, T + 1), T * S, (T + 1) * S),
        ([(156, 8), (157, 8)], struct.pack("!IIII", NTP, 1 << 31, NTP + 1, 0), T * S + 500 * MS, (T + 1) * S),
        ([(154, 8), (155, 8)], struct.pack("!IIII", NTP, 1 << 30, NTP + 1, 0), T * S + 250 * MS, (T + 1) * S),
        ([(158, 4), (159, 4)], struct.pack("!II", 1_500_000, 500_000), EXPORT_S * S - 1500 * MS, EXPORT_S * S - 500 * MS),
        ([(22, 4), (21, 4), (160, 8)], struct.pack("!IIQ", 1000, 2500, T * 1000), (T + 1) * S, T * S + 2500 * MS),
        ([(152, 8), (161, 4)], struct.pack("!QI", T * 1000, 1500), T * S, T * S + 1500 * MS),
        ([(152, 0), (153, 8)], struct.pack("!Q", T * 1000), T * S, T * S),
        ([(153, 8), (162, 4)], struct.pack("!QI", T * 1000, 1_000_000), (T - 1) * S, T * S),
        ([(323, 8)], struct.pack("!Q", T * 1000 + 123), T * S + 123 * MS, T * S + 123 * MS),
        ([(22, 4), (21, 4)], struct.pack("!II", 1000, 2500), EXPORT_S * S - 1500 * MS, EXPORT_S * S),
        ([(1, 4)], struct.pack("!I", 1), EXPORT_S * S, EXPORT_S * S),
    ],
)
def test_times_of_every_kind(fields: list[Spec], raw: bytes, start_ns: int, end_ns: int) -> None:
    assert value(fields, raw, "time_start_ns", "time_end_ns") == (start_ns, end_ns)


def test_ntp_times_go_on_after_2036() -> None:
    raw = struct.pack("!IIII", 5, 0, 6, 0)  # five seconds into era 1: 2036-02-07 06:28:21
    assert value([(156, 8), (157, 8)], raw, "time_start_ns") == 2_085_978_501 * 10**9


def test_the_start_of_an_exporter_may_come_in_options() -> None:
    options = a_set(3, template(300, ((149, 4), (160, 8)), scope=1)), a_set(300, struct.pack("!IQ", 1, 1_766_000_000_000))
    data = a_set(2, template(256, ((22, 4), (21, 4)))), a_set(256, struct.pack("!II", 1000, 2000))
    decoded = decode(message(*options, *data))
    assert column(decoded, "time_end_ns") == [1766000002000000000]


def test_the_code_point_stands_in_for_the_type_of_service_only() -> None:
    """Which has the bits of congestion, too."""
    assert value([(195, 1), (5, 1)], b"\x2e\xb9", "ip_tos") == 0xB9


def test_of_two_address_families_the_one_that_is_set_counts() -> None:
    fields = [(8, 4), (12, 4), (27, 16), (28, 16)]
    v4 = bytes((10, 0, 0, 1, 10, 0, 0, 2)) + bytes(32)
    v6 = bytes(8) + packed("2001:db8::1") + packed("2001:db8::2")
    assert value(fields, v4, "src_addr", "dst_addr") == tuple(from_texts(["10.0.0.1", "10.0.0.2"]).tolist())
    assert value(fields, v6, "src_addr", "dst_addr") == tuple(from_texts(["2001:db8::1", "2001:db8::2"]).tolist())


def test_zero_is_an_address_of_a_flow_but_no_translation_or_next_hop() -> None:
    fields = [(8, 4), (226, 4), (15, 4)]
    found = value(fields, bytes(12), "src_addr", "post_nat_dst_addr", "next_hop")
    assert found == (list(packed("0.0.0.0")), [0] * 16, [0] * 16)


def test_a_field_sent_twice_counts_where_it_is_set() -> None:
    assert value([(1, 4), (1, 4)], struct.pack("!II", 0, 9), "bytes") == 9
    assert value([(1, 4), (1, 4)], struct.pack("!II", 8, 9), "bytes") == 8


def test_delta_and_total_are_never_added() -> None:
    assert value([(85, 4), (1, 4), (86, 4), (2, 4)], struct.pack("!IIII", 100, 7, 50, 3), "bytes", "packets") == (7, 3)


@pytest.mark.parametrize(
    ("fields", "raw", "expected"),
    [
        ([(4, 1), (176, 1), (177, 1)], bytes((1, 8, 3)), (8, 3)),
        ([(4, 1), (178, 1), (179, 1)], bytes((58, 128, 4)), (128, 4)),
        ([(4, 1), (32, 2)], bytes((1, 3, 1)), (3, 1)),
        ([(4, 1), (139, 2)], bytes((58, 129, 0)), (129, 0)),
        ([(4, 1), (32, 2)], bytes((6, 0, 0)), (-1, -1)),
        ([(4, 1), (7, 2), (11, 2)], bytes((1, 0, 0, 11, 2)), (11, 2)),
        ([(4, 1), (7, 2), (11, 2)], bytes((6, 0, 1, 11, 2)), (-1, -1)),
        ([(4, 1), (176, 1)], bytes((1, 8)), (8, -1)),
    ],
)
def test_icmp_type_and_code_from_wherever_they_are(fields: list[Spec], raw: bytes, expected: tuple[int, int]) -> None:
    assert value(fields, raw, "icmp_type", "icmp_code") == expected


def test_icmp_in_the_port_leaves_no_ports() -> None:
    assert value([(4, 1), (7, 2), (11, 2)], bytes((1, 0, 0, 8, 0)), "src_port", "dst_port") == (0, 0)


def test_packets_taken_and_left_out_give_the_rate() -> None:
    assert value([(305, 4), (306, 4)], struct.pack("!II", 1, 999), "sampling_rate") == 1000


def test_a_label_stack_ends_at_its_bottom() -> None:
    stack = [(70, 3), (71, 3), (72, 3)]
    labels = ((16 << 4).to_bytes(3, "big"), (17 << 4 | 1).to_bytes(3, "big"), (18 << 4).to_bytes(3, "big"))
    assert value(stack, b"".join(labels), "mpls_labels") == "16,17"


def test_strings_of_variable_length_short_and_long() -> None:
    fields = [(96, VARIABLE), (1, 4), (96 + 0x1000, VARIABLE)]
    long_text = b"x" * 300
    record = b"\x05https" + struct.pack("!I", 7) + b"\xff" + struct.pack("!H", 300) + long_text
    assert value(fields, record, "application_name", "bytes") == ("https", 7)


def test_a_short_string_may_use_the_long_form_of_its_length() -> None:
    assert value([(96, VARIABLE)], b"\xff\0\x03dns", "application_name") == "dns"


def test_integers_of_variable_length() -> None:
    assert value([(16, VARIABLE), (1, 2)], b"\x03\x0d\x01\x02\0\x09", "src_as", "bytes") == (0x0D0102, 9)


def test_applications_of_variable_length() -> None:
    assert value([(95, VARIABLE), (1, 2)], b"\x03\x0d\x01\x02\0\x09", "application_id", "bytes") == (0x0D000102, 9)
    assert value([(95, VARIABLE), (1, 2)], b"\0\0\x09", "application_id", "bytes") == (0, 9)


def test_text_that_is_not_utf8_does_no_harm() -> None:
    assert value([(96, 4)], b"a\xffb\0", "application_name") == "a\ufffdb"


def test_records_of_variable_length_in_several_sets_and_messages() -> None:
    fields = [(8, 4), (96, VARIABLE), (1, 4)]

    def record(number: int) -> bytes:
        text = b"app" * (number % 4)
        return bytes((10, 0, 0, number)) + bytes((len(text),)) + text + struct.pack("!I", number)

    sets = [a_set(256, *map(record, range(first, first + 5))) for first in range(0, 20, 5)]
    decoded = decode(message(a_set(2, template(256, fields)), *sets[:2]), message(*sets[2:], sequence=10))
    found = sorted(zip(column(decoded, "bytes"), column(decoded, "application_name"), strict=True))
    assert found == [(number, "app" * (number % 4)) for number in range(20)]
    assert [row[15] for row in sorted(column(decoded, "src_addr"))] == list(range(20))


def test_a_record_that_leaves_its_set_ends_the_set() -> None:
    fields = [(96, VARIABLE), (1, 1)]
    broken = a_set(256, b"\x01a\x05", b"\xc8xyz")
    decoded = decode(message(a_set(2, template(256, fields)), broken, a_set(256, b"\x01b\x06")))
    assert sorted(column(decoded, "bytes")) == [5, 6]
    assert [problem.cause for problem in decoded.problems] == ["record_length"]


def test_what_has_no_column_is_skipped_over() -> None:
    fields = [(8, 4), (9999, 7), (1234, VARIABLE, 4242), (1, 4), (55, 3, 9)]
    record = bytes((10, 0, 0, 1)) + b"1234567" + b"\x02hi" + struct.pack("!I", 77) + b"xyz"
    assert value(fields, record, "bytes") == 77


def test_records_that_count_nothing_are_events() -> None:
    assert value([(8, 4), (230, 1)], bytes((10, 0, 0, 1, 1)), "record_kind") == 3
    assert value([(8, 4), (2, 1)], bytes((10, 0, 0, 1, 1)), "record_kind") == 0


def test_our_elements_make_the_format_agent() -> None:
    assert value([(1, 4), (1, 1, PEN)], b"\0\0\0\1\2", "flow_format", "local_ends") == (7, 2)
    assert value([(1, 4), (1, 1, PEN + 1)], b"\0\0\0\1\2", "flow_format", "local_ends") == (5, 0)


def test_a_code_that_the_enumeration_does_not_have_is_unknown() -> None:
    assert value([(1, 1, PEN)], b"\x63", "local_ends") == 0
    assert value([(1, 1, PEN)], b"\xff", "local_ends") == 0


def test_elements_of_the_registry_agree_with_iana() -> None:
    """Each element that a column names exists, and its type can fill the column."""
    text_types = {"string", "octetArray"}
    for entry in COLUMNS:
        for number in {entry.element, entry.element_v6} - {0}:
            name, data_type = ELEMENTS[number]
            assert data_type in DATA_TYPES, name
            assert (str(entry.kind) == "mac") == (data_type == "macAddress"), name
            assert (str(entry.kind) == "addr") == (data_type in {"ipv4Address", "ipv6Address"}), name
            assert str(entry.kind) != "names" or data_type in text_types, name
    assert NUMBERS["octetDeltaCount"] == 1
    assert ELEMENTS[230] == ("natEvent", "unsigned8")


def test_our_numbers_are_used_once() -> None:
    numbers = [element.number for element in our_elements(PEN)]
    assert len(numbers) == len(set(numbers))
    elements = Elements(PEN)
    assert elements.get(PEN, 200).name == "kernel_packets_seen"
    assert elements.get(PEN, 1).name == "local_ends"
    assert elements.get(0, 82).name == "interfaceName"
    assert elements.get(9, 12345).name == "pen9_12345"
    assert elements.get(0, 31999).name == "ie31999"
