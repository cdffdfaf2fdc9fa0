# SPDX-License-Identifier: Apache-2.0
"""NetFlow v9 as RFC 3954 has it and as devices send it; traps by their number in the list of traps met in real networks."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pytest

from flowgauge.flow.addresses import from_texts, packed
from flowgauge.schema.enums import FLOW_FORMAT
from flowgauge.wire.decoder import Decoded, Decoder
from netflow9_kit import (
    BASIC,
    EXPORT_S,
    INTERFACE,
    SYSTEM,
    TEMPLATE,
    UPTIME_MS,
    Spec,
    basic,
    basic_template,
    flowset,
    options_template,
    packet,
    template,
)
from wire_kit import a_set, column, decode, message
from wire_kit import basic_template as ipfix_template

VARIABLE = 65535
S, MS = 10**9, 10**6


def record(fields: Sequence[Spec], content: bytes, *names: str) -> Any:
    """What one record says of the columns ``names``."""
    decoded = decode(packet(flowset(0, template(256, fields)), flowset(256, content)))
    assert not decoded.problems
    assert len(decoded.flows) == 1
    found = [column(decoded, name)[0] for name in names]
    return found[0] if len(found) == 1 else tuple(found)


def causes(decoded: Decoded) -> list[str]:
    return [problem.cause for problem in decoded.problems]


def test_a_flow_is_what_the_packet_says() -> None:
    decoded = decode(packet(basic_template(), flowset(256, basic(100, 3)), source_id=7))
    assert decoded.counts == {"decode_records": 1, "decode_template_changes": 1}
    assert column(decoded, "src_addr") == from_texts(["10.0.0.1"]).tolist()
    names = ("bytes", "packets", "src_port", "dst_port", "proto", "obs_domain_id", "template_id", "record_kind")
    assert [column(decoded, name) for name in names] == [[100], [3], [1000], [53], [17], [7], [256], [0]]
    assert column(decoded, "flow_format") == [FLOW_FORMAT.index("netflow9")]
    assert column(decoded, "time_start_ns") == [EXPORT_S * S - 5 * S]
    assert column(decoded, "time_end_ns") == [EXPORT_S * S - 1 * S]


# --- framing ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 30, 65535])
def test_trap_9_the_header_count_is_no_bound(count: int) -> None:
    decoded = decode(packet(basic_template(), flowset(256, basic(1), basic(2), basic(3)), count=count))
    assert column(decoded, "bytes") == [1, 2, 3]
    assert not decoded.problems


def test_trap_10_the_datagram_ends_the_packet() -> None:
    """Each datagram is one packet, even when what follows in the receive buffer looks like more."""
    decoded = decode(packet(basic_template(), flowset(256, basic(1))), packet(flowset(256, basic(2)), sequence=1))
    assert sorted(column(decoded, "bytes")) == [1, 2]


@pytest.mark.parametrize("length", [0, 1, 2, 3])
@pytest.mark.parametrize("number", [0, 1, 256])
def test_trap_11_flowset_lengths_that_cannot_be(length: int, number: int) -> None:
    tail = struct.pack("!HH", number, length) + bytes(8)
    decoded = decode(packet(basic_template(), flowset(256, basic(1)), tail), packet(flowset(256, basic(2)), sequence=1))
    assert sorted(column(decoded, "bytes")) == [1, 2]
    assert causes(decoded) == ([] if (number, length) == (0, 0) else ["set_length"])


def test_trap_12_zeros_fill_the_packet() -> None:
    """Palo Alto sends packets filled up with zeros."""
    decoded = decode(packet(basic_template(), flowset(256, basic(1)), bytes(1000)), packet(bytes(1300), sequence=1))
    assert column(decoded, "bytes") == [1]
    assert not decoded.problems
    assert not decoded.causes


@pytest.mark.parametrize("pad", range(8))
@pytest.mark.parametrize("fill", [b"\0", b"\xff"])
def test_trap_13_padding_of_up_to_seven_bytes(pad: int, fill: bytes) -> None:
    decoded = decode(packet(basic_template(), flowset(256, basic(1), basic(2), pad=pad, fill=fill), flowset(256, basic(3))))
    assert column(decoded, "bytes") == [1, 2, 3]
    assert not decoded.problems


@pytest.mark.parametrize(
    ("size", "values", "pad"), [(1, [7, 8, 9], 1), (1, [7], 3), (2, [7, 8, 9], 2), (3, [7], 1), (1, [7, 0, 9], 0)]
)
def test_trap_14_padding_as_long_as_a_record(size: int, values: list[int], pad: int) -> None:
    content = b"".join(value.to_bytes(size, "big") for value in values)
    decoded = decode(packet(flowset(0, template(256, [(1, size)])), flowset(256, content, pad=pad)))
    assert column(decoded, "bytes") == values


def test_trap_14_what_is_left_of_a_record_is_no_record() -> None:
    """Nor is what the next set begins with, or what stands behind a set that waited for its template."""
    defined = packet(flowset(0, template(256, [(1, 2)])))
    cut = flowset(256, b"\0\7\0\x08\x09")
    assert column(decode(defined, packet(cut, flowset(256, b"\0\1\0\2"), sequence=1)), "bytes") == [7, 8, 1, 2]
    assert column(decode(packet(cut), defined), "bytes") == [7, 8]


def test_trap_15_options_templates_give_lengths_in_bytes() -> None:
    definition = options_template(257, [(SYSTEM, 4)], [(34, 4), (35, 1)])
    decoded = decode(packet(flowset(1, definition, pad=2), flowset(257, struct.pack("!IIB", 1, 1000, 2), pad=3)))
    assert [told.records for told in decoded.options] == [
        ({"scopeSystem": 1, "samplingInterval": 1000, "samplingAlgorithm": 2},),
    ]
    assert decoded.counts["decode_options_records"] == 1
    assert decoded.seen == {"options_templates": 1}


@pytest.mark.parametrize(
    ("scope", "content", "expected"),
    [
        ([], struct.pack("!I", 500), {"samplingInterval": 500}),
        ([(SYSTEM, 0)], struct.pack("!I", 500), {"scopeSystem": 0, "samplingInterval": 500}),
    ],
)
def test_trap_16_options_without_scope(scope: list[Spec], content: bytes, expected: dict[str, int]) -> None:
    """Juniper SRX: a scope of length 0, or a scope field of length 0."""
    decoded = decode(packet(flowset(1, options_template(257, scope, [(34, 4)])), flowset(257, content)))
    assert [told.records for told in decoded.options] == [(expected,)]
    assert not len(decoded.flows)


def test_trap_17_scopes_are_no_elements() -> None:
    """Scope 2 is the interface, not packetDeltaCount; 1 is the system, not octetDeltaCount."""
    definition = options_template(257, [(SYSTEM, 4), (INTERFACE, 4), (TEMPLATE, 2)], [(82, 8)])
    content = struct.pack("!IIH", 9, 3, 256) + b"ge-0/0/0"
    decoded = decode(packet(flowset(1, definition), flowset(257, content)))
    expected = {"scopeSystem": 9, "scopeInterface": 3, "scopeTemplate": 256, "interfaceName": "ge-0/0/0"}
    assert [told.records for told in decoded.options] == [(expected,)]


def test_trap_18_several_templates_in_a_flowset_and_data_before_them() -> None:
    early = flowset(256, basic(1)), flowset(258, struct.pack("!I", 5))
    templates = flowset(0, template(256, BASIC), template(257, [(1, 2)]), template(258, [(1, 4)]))
    decoded = decode(packet(*early, templates, flowset(257, b"\0\x09")))
    assert sorted(column(decoded, "bytes")) == [1, 5, 9]
    assert decoded.seen == {"templates": 3}


def test_trap_19_private_ids_are_no_enterprise_bit() -> None:
    """ASA's 33000 and 40000-40004, ntop's 57590, somebody's 44999; four bytes follow each, no enterprise number."""
    fields = [(33000, 12), (8, 4), (40001, 4), (40003, 2), (57591, 16), (44999, 3), (1, 4)]
    content = bytes(12) + bytes((10, 0, 0, 1, 198, 51, 100, 7)) + b"\x1f\x90" + b"TLS.YouTube".ljust(16, b"\0") + b"abc"
    found = record(
        fields, content + struct.pack("!I", 77), "bytes", "post_nat_src_addr", "post_nat_src_port", "application_name"
    )
    assert found == (77, list(packed("198.51.100.7")), 8080, "TLS.YouTube")


def test_trap_20_variable_length_though_v9_has_none() -> None:
    """H3C; a length that leaves the flowset is refused all the same."""
    definition = flowset(0, template(256, [(96, VARIABLE), (1, 4)]))
    good = flowset(256, b"\x04http" + struct.pack("!I", 5), b"\xff\0\x03dns" + struct.pack("!I", 6))
    decoded = decode(packet(definition, good, flowset(256, b"\xc8http" + struct.pack("!I", 7)), flowset(256, b"\0\0\0\0\x08")))
    found = sorted(zip(column(decoded, "bytes"), column(decoded, "application_name"), strict=True))
    assert found == [(5, "http"), (6, "dns"), (8, "")]
    assert causes(decoded) == ["record_length"]


def test_trap_21_sequence_counts_packets_of_a_source_id() -> None:
    decoder = Decoder()
    decode(packet(basic_template(), flowset(256, *map(basic, range(20))), sequence=10), decoder=decoder)
    decode(packet(flowset(256, *map(basic, range(20))), sequence=11), decoder=decoder)
    decode(packet(flowset(256, basic(1)), sequence=15), packet(sequence=700, source_id=2), decoder=decoder)
    assert decoder.finish() == {"sequence_gap_datagrams": 3, "sequence_gap_records_estimated": 41}  # 3 of 41 / 3 records


@pytest.mark.parametrize("at_once", [True, False])
def test_trap_21_lost_packets_are_taken_to_have_held_what_others_did(*, at_once: bool) -> None:
    content = flowset(256, *map(basic, range(9)))
    packets = [packet(basic_template(), sequence=0), *(packet(content, sequence=number) for number in range(1, 90))]
    kept = [one for number, one in enumerate(packets) if number % 10 != 5]
    decoder = Decoder()
    for part in [kept] if at_once else [[one] for one in kept]:
        decode(*part, decoder=decoder)
    decoder.finish()
    (report,) = decoder.reports()
    assert report.lost_datagrams == 9
    assert 75 <= (report.lost_records_estimated or 0) <= 81  # 9 packets of 9; the template's own packet had none


@pytest.mark.parametrize(
    ("uptime_ms", "first_ms", "start_ms"),
    [
        (1000, 2**32 - 500, -1500),  # began before the exporter's clock wrapped
        (1000, 3000, 2000),  # ended after the header was made
        (2**32 - 1, 0, 1),  # the clock wrapped between header and record
        (5000, 5000, 0),
    ],
)
def test_trap_22_uptimes_wrap_after_49_days(uptime_ms: int, first_ms: int, start_ms: int) -> None:
    content = flowset(256, basic(1, first_ms=first_ms, last_ms=first_ms))
    decoded = decode(packet(basic_template(), content, uptime_ms=uptime_ms))
    assert column(decoded, "time_start_ns") == [EXPORT_S * S + start_ms * MS]


@pytest.mark.parametrize("scale", [1, 1000])
def test_trap_23_an_uptime_in_seconds(scale: int) -> None:
    """The header's uptime rises by one a second; times of flows are in seconds too, or in milliseconds as they should be."""
    decoder = Decoder()
    for passed_s in (0, 20):
        header = {"export_s": EXPORT_S + passed_s, "uptime_ms": 90_000 + passed_s, "sequence": passed_s // 20}
        uptime = (90_000 + passed_s - 3) * scale
        decoded = decode(
            packet(basic_template(), flowset(256, basic(1, first_ms=uptime, last_ms=uptime)), **header), decoder=decoder
        )
    assert column(decoded, "time_end_ns") == [(EXPORT_S + 17) * S]


# --- fields -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "tos"), [(b"\x08", 8), (b"\x00\x08", 8), (b"\x7f\xff", 255), (b"\xff\xff", 255), (b"\1" * 4, 255)]
)
def test_an_octet_sent_in_more_bytes_stays_one(raw: bytes, tos: int) -> None:
    """A value that no octet holds must not become absent, or another octet."""
    decoded = decode(packet(flowset(0, template(256, [(5, len(raw)), (1, 4)])), flowset(256, raw + struct.pack("!I", 1))))
    assert column(decoded, "ip_tos") == [tos]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6, 7, 8])
def test_trap_24_counters_of_every_width(length: int) -> None:
    number = int.from_bytes(bytes(range(1, length + 1)), "big")
    assert record([(1, length), (2, length)], 2 * number.to_bytes(length, "big"), "bytes", "packets") == (number, number)


@pytest.mark.parametrize(
    ("fields", "content", "expected"),
    [
        ([(4, 1), (7, 2), (11, 2)], b"\x01\0\x07\x03\x01", (3, 1, 0, 0)),
        ([(4, 1), (7, 2), (11, 2)], b"\x3a\0\x07\x80\0", (128, 0, 0, 0)),
        ([(4, 1), (7, 2), (11, 2), (32, 2)], b"\x01\0\0\0\0\x03\x02", (3, 2, 0, 0)),
        ([(4, 1), (7, 2), (11, 2), (176, 1), (177, 1)], b"\x01\0\x07\0\x09\x08\0", (8, 0, 0, 0)),
        ([(4, 1), (7, 2), (11, 2)], b"\x06\0\x07\x03\x01", (-1, -1, 7, 769)),
    ],
)
def test_trap_25_icmp_type_and_code(fields: list[Spec], content: bytes, expected: tuple[int, ...]) -> None:
    assert record(fields, content, "icmp_type", "icmp_code", "src_port", "dst_port") == expected


@pytest.mark.parametrize("fields", [[(8, 4), (12, 4), (27, 16), (28, 16)], [(27, 16), (28, 16), (8, 4), (12, 4)]])
@pytest.mark.parametrize(("source", "destination"), [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")])
def test_trap_26_both_families_one_of_them_zero(fields: list[Spec], source: str, destination: str) -> None:
    v4 = ":" not in source
    values = {number: bytes(length) for number, length in fields}
    ends = [packed(text)[12:] if v4 else packed(text) for text in (source, destination)]
    values |= dict(zip((8, 12) if v4 else (27, 28), ends, strict=True))
    content = b"".join(values[number] for number, _ in fields)
    assert record(fields, content, "src_addr", "dst_addr") == (list(packed(source)), list(packed(destination)))


def test_trap_27_labels_in_any_order_down_to_the_bottom() -> None:
    entries = {70: 16 << 4, 71: 17 << 4 | 0b111 << 1, 72: 18 << 4 | 1, 73: 999 << 4}
    fields = [(number, 3) for number in (72, 70, 73, 71)]
    content = b"".join(entries[number].to_bytes(3, "big") for number, _ in fields)
    assert record(fields, content, "mpls_labels") == "16,17,18"


def test_trap_28_macs_and_vlans_of_both_sides_do_not_overwrite() -> None:
    a, b, c, d = (bytes([n] * 6) for n in (1, 2, 3, 4))
    every = [(57, 6), (81, 6), (59, 2), (56, 6), (80, 6), (58, 2)]
    assert record(every, c + d + b"\0\x09" + a + b + b"\0\x05", "src_mac", "dst_mac", "vlan_id") == (list(a), list(b), 5)
    egress = [(81, 6), (57, 6), (59, 2)]
    assert record(egress, a + b + b"\0\x05", "src_mac", "dst_mac", "vlan_id") == (list(a), list(b), 5)


@pytest.mark.parametrize(("first", "second", "found"), [(0, 9, 9), (8, 0, 8), (8, 9, 8)])
def test_trap_29_a_field_twice_in_a_template(first: int, second: int, found: int) -> None:
    assert record([(1, 4), (8, 4), (1, 4)], struct.pack("!I4sI", first, b"\x0a\0\0\1", second), "bytes") == found


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\x0d\0\0\x35", 0x0D000035),
        (b"\x0d\x35", 0x0D000035),
        (b"\x03\x01\xbb", 0x030001BB),
        (b"\x0d\0\0\0\0\0\0\x35", 0x0D000035),
        (b"\x14\0\0\x30\x44\0\0\0\x11", 20 << 56 | 0x3044_0000_0011),
    ],
)
def test_trap_30_an_application_id_is_an_engine_and_a_selector_of_any_width(raw: bytes, expected: int) -> None:
    """RFC 6759 §4: the same application has the same number, however wide an exporter sends it."""
    assert record([(95, len(raw))], raw, "application_id") == expected


@pytest.mark.parametrize(
    ("raw", "text"), [(b"eth0\0\0\0\0", "eth0"), (b"eth0    ", "eth0"), (b"\xff\xfeeth0\0\0", "\ufffd\ufffdeth0")]
)
def test_trap_31_strings_are_filled_up(raw: bytes, text: str) -> None:
    decoded = decode(
        packet(flowset(1, options_template(257, [(SYSTEM, 4)], [(10, 4), (82, 8)])), flowset(257, bytes(4) + b"\0\0\0\7" + raw))
    )
    assert [dict(entry) for told in decoded.options for entry in told.records] == [
        {"scopeSystem": 0, "ingressInterface": 7, "interfaceName": text},
    ]


# --- templates ----------------------------------------------------------------------------------------------------------------


def test_trap_32_the_versions_of_one_exporter_do_not_share_templates() -> None:
    decoder = Decoder()
    decode(message(ipfix_template()), decoder=decoder)
    assert "decode_records" not in decode(packet(flowset(256, basic(1))), decoder=decoder).counts
    decode(packet(basic_template()), decoder=decoder)
    swapped = a_set(256, bytes((10, 0, 0, 1, 10, 0, 0, 2)) + struct.pack("!HHBII", 1, 2, 17, 3, 4))
    assert column(decode(message(swapped), decoder=decoder), "bytes") == [3]


def test_trap_33_an_id_changes_its_kind() -> None:
    decoder = Decoder()
    decode(packet(basic_template()), decoder=decoder)
    definition = flowset(1, options_template(256, [(SYSTEM, 4)], [(34, 4)]))
    decoded = decode(packet(definition, flowset(256, struct.pack("!II", 1, 50)), sequence=1), decoder=decoder)
    assert [told.records for told in decoded.options] == [({"scopeSystem": 1, "samplingInterval": 50},)]
    assert column(decode(packet(basic_template(), flowset(256, basic(3)), sequence=2), decoder=decoder), "bytes") == [3]


@pytest.mark.parametrize(
    "broken",
    [
        flowset(0, struct.pack("!HH", 256, 0)),
        flowset(0, struct.pack("!HH", 256, 9) + bytes(8)),
        flowset(0, struct.pack("!HHHH", 256, 1, 1, 0)),
        flowset(1, struct.pack("!HHH", 256, 3, 4) + bytes(16)),
        flowset(1, struct.pack("!HHH", 256, 0, 0)),
        flowset(1, struct.pack("!HHH", 256, 400, 400) + bytes(16)),
    ],
)
def test_traps_35_to_37_a_malformed_template_takes_the_former_with_it(broken: bytes) -> None:
    """v9 has no withdrawal; records without fields or of no length would never end."""
    decoder = Decoder()
    decode(packet(basic_template()), decoder=decoder)
    decoded = decode(packet(broken, flowset(256, basic(1)), sequence=1), decoder=decoder)
    assert len(decoded.problems) == 1
    assert decoded.problems[0].cause.startswith("template_")
    assert decoded.counts["decode_unknown_template_sets"] == 1
    assert not len(decoded.flows)


def test_trap_37_one_empty_field_is_legal() -> None:
    assert record([(8, 4), (96, 0), (1, 4)], bytes((10, 0, 0, 1)) + struct.pack("!I", 5), "bytes") == 5


def test_trap_49_reserved_flowsets_cost_nothing_else() -> None:
    decoded = decode(packet(basic_template(), flowset(2, bytes(8)), flowset(255, bytes(8)), flowset(256, basic(1))))
    assert column(decoded, "bytes") == [1]
    assert causes(decoded) == ["set_id", "set_id"]


def test_trap_94_a_missing_template_costs_only_its_own_flowset() -> None:
    decoded = decode(packet(flowset(300, bytes(20)), basic_template(), flowset(256, basic(1)), flowset(301, bytes(20))))
    assert column(decoded, "bytes") == [1]
    assert decoded.counts["decode_unknown_template_sets"] == 2


def test_data_before_their_template_keep_their_own_times() -> None:
    """They are read with the header they came with, hours later or not."""
    decoder = Decoder()
    decode(packet(flowset(256, basic(1))), decoder=decoder)
    later = packet(basic_template(), sequence=1, export_s=EXPORT_S + 1800, uptime_ms=UPTIME_MS + 1_800_000)
    decoded = decode(later, decoder=decoder)
    assert column(decoded, "time_end_ns") == [EXPORT_S * S - 1 * S]
    assert decoded.counts["decode_late_records"] == 1
