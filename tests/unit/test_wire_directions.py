# SPDX-License-Identifier: Apache-2.0
"""Records of both directions of a flow: two rows, nothing counted twice (traps 52, 53)."""

from __future__ import annotations

import struct

import pytest

from flowgauge.wire.decoder import Decoder
from ipfix_records_kit import (
    ANTREA,
    ENDS,
    KEY,
    MS,
    REVERSE,
    one_set,
    rows,
)
from wire_kit import EXPORT_S, VARIABLE, Spec, a_set, column, decode, message, template

# --- both directions ----------------------------------------------------------------------------------------------------------


def test_trap_52_a_bidirectional_record_becomes_two_rows() -> None:
    fields = [*KEY, (10, 4), (14, 4), (6, 1), (5, 1), (1, 4), (2, 4), (152, 8), (153, 8),
              (1, 4, REVERSE), (2, 4, REVERSE), (6, 1, REVERSE), (152, 8, REVERSE), (153, 8, REVERSE)]  # fmt: skip
    at = EXPORT_S * 1000
    record = ENDS + struct.pack("!IIBBIIQQ", 3, 4, 0x1B, 0x2E, 100, 2, at - 9000, at - 1000)
    record += struct.pack("!IIBQQ", 5000, 7, 0x12, at - 8000, at - 2000)
    decoded = one_set(fields, record)
    names = ("src_addr", "dst_addr", "src_port", "dst_port", "in_if", "out_if", "tcp_flags", "ip_tos", "bytes", "packets")
    assert rows(decoded, *names) == [
        ("10.0.0.1", "10.0.0.2", 1000, 443, 3, 4, 0x1B, 0x2E, 100, 2),
        ("10.0.0.2", "10.0.0.1", 443, 1000, 4, 3, 0x12, -1, 5000, 7),
    ]
    assert rows(decoded, "time_start_ns", "time_end_ns") == [
        ((at - 9000) * MS, (at - 1000) * MS),
        ((at - 8000) * MS, (at - 2000) * MS),
    ]
    assert "sequence_gap_records" not in decode(message(sequence=1)).counts


def test_trap_52_an_empty_reverse_side_makes_no_row() -> None:
    fields = [*KEY, (1, 4), (1, 4, REVERSE), (2, 4, REVERSE)]
    decoded = one_set(fields, ENDS + struct.pack("!III", 5, 0, 0), ENDS + struct.pack("!III", 6, 0, 1))
    assert sorted(rows(decoded, "src_port", "bytes")) == [(443, 0), (1000, 5), (1000, 6)]


def test_trap_52_numbers_count_records_not_rows() -> None:
    fields = [*KEY, (1, 4), (1, 4, REVERSE)]
    decoder = Decoder()
    one_set(fields, ENDS + struct.pack("!II", 5, 6), decoder=decoder)
    decode(message(a_set(256, ENDS + struct.pack("!II", 7, 8)), sequence=1), decoder=decoder)
    assert decoder.finish() == {}


def test_trap_52_reverse_elements_alone_are_no_traffic() -> None:
    decoded = one_set([*KEY, (1, 4), (6, 1, REVERSE)], ENDS + struct.pack("!IB", 5, 2))
    assert column(decoded, "bytes") == [5]


def test_names_of_both_ends_go_with_them() -> None:
    """Antrea: names of pods, reverse counters."""
    fields = [*KEY, (101, VARIABLE, ANTREA), (100, VARIABLE, ANTREA), (103, VARIABLE, ANTREA), (1, 4), (1, 4, REVERSE)]
    record = ENDS + b"\x03web" + b"\x04shop" + b"\x02db" + struct.pack("!II", 5, 6)
    found = rows(one_set(fields, record), "src_namespace", "src_name", "dst_name", "bytes")
    assert found == [("shop", "web", "db", 5), ("", "db", "web", 6)]


def test_icmp_of_the_other_direction_is_not_known() -> None:
    fields = [*KEY, (1, 4), (1, 4, REVERSE)]
    record = bytes((10, 0, 0, 1, 10, 0, 0, 2)) + struct.pack("!HHBII", 0, 8 << 8, 1, 84, 84)
    found = rows(one_set(fields, record), "icmp_type", "icmp_code", "src_port", "dst_port")
    assert found == [(8, 0, 0, 0), (-1, -1, 0, 0)]


def test_icmp_elements_of_the_other_direction_mean_nothing_for_other_protocols() -> None:
    fields = [*KEY, (1, 4), (32, 2), (1, 4, REVERSE), (32, 2, REVERSE)]
    ends = bytes((10, 0, 0, 1, 10, 0, 0, 2))
    records = (
        ends + struct.pack("!HHBIHIH", *record) for record in ((1000, 53, 17, 84, 0, 85, 0), (0, 0, 1, 84, 8 << 8, 85, 0))
    )
    found = rows(one_set(fields, *records), "bytes", "icmp_type", "icmp_code", "src_port", "dst_port")
    assert sorted(found) == [(84, -1, -1, 1000, 53), (84, 8, 0, 0, 0), (85, -1, -1, 53, 1000), (85, 0, 0, 0, 0)]


@pytest.mark.parametrize("translated", [True, False])
def test_trap_53_initiator_and_responder_are_two_rows(*, translated: bool) -> None:
    fields = [*KEY, (231, 4), (232, 4), (298, 4), (299, 4)] + ([(225, 4), (227, 2)] if translated else [])
    record = ENDS + struct.pack("!IIII", 100, 5000, 2, 7) + (bytes((198, 51, 100, 7)) + b"\x1f\x90" if translated else b"")
    decoded = one_set(fields, record)
    assert rows(decoded, "src_addr", "bytes", "packets") == [("10.0.0.1", 100, 2), ("10.0.0.2", 5000, 7)]
    if translated:
        found = rows(decoded, "post_nat_src_addr", "post_nat_dst_addr", "post_nat_src_port", "post_nat_dst_port")
        assert found == [("198.51.100.7", "", 8080, 0), ("", "198.51.100.7", 0, 8080)]


def test_trap_53_initiator_beside_delta_counts_once() -> None:
    decoded = one_set([*KEY, (1, 4), (231, 4), (232, 4)], ENDS + struct.pack("!III", 100, 100, 5000))
    assert column(decoded, "bytes") == [100]


CONNECTION: tuple[Spec, ...] = ((148, 4), *KEY, (233, 1), (231, 4), (232, 4))


def event(kind: int, octets: int, back: int, connection: int = 7) -> bytes:
    return struct.pack("!I", connection) + ENDS + struct.pack("!BII", kind, octets, back)


@pytest.mark.parametrize("together", [True, False])
def test_trap_53_updates_and_teardown_of_a_connection_count_it_once(*, together: bool) -> None:
    """ASA: updates count since the one before, the teardown the whole connection."""
    definition = a_set(2, template(256, CONNECTION), template(257, (*CONNECTION, (323, 8))))
    at = struct.pack("!Q", EXPORT_S * 1000)
    data = [a_set(256, event(5, 100, 10)), a_set(256, event(5, 200, 20)), a_set(257, event(2, 350, 30) + at)]
    decoder = Decoder()
    total = {"10.0.0.1": 0, "10.0.0.2": 0}
    messages = [message(definition)] + [message(each, sequence=number) for number, each in enumerate(data)]
    for batch in [messages] if together else [[each] for each in messages]:
        for address, octets in rows(decode(*batch, decoder=decoder), "src_addr", "bytes"):
            total[address] += octets
    assert total == {"10.0.0.1": 350, "10.0.0.2": 30}


def test_trap_53_connections_without_updates_and_increments_stay_as_they_are() -> None:
    decoder = Decoder()
    short = one_set(CONNECTION, event(2, 500, 60), event(5, 100, 10, connection=8), decoder=decoder)
    assert sorted(rows(short, "src_addr", "bytes")) == [
        ("10.0.0.1", 100),
        ("10.0.0.1", 500),
        ("10.0.0.2", 10),
        ("10.0.0.2", 60),
    ]
    increment = one_set(CONNECTION, event(2, 40, 0, connection=8), decoder=decoder)
    assert rows(increment, "src_addr", "bytes") == [("10.0.0.1", 40)]
    again = one_set(CONNECTION, event(2, 40, 0, connection=8), decoder=decoder)
    assert rows(again, "src_addr", "bytes") == [("10.0.0.1", 40)]
