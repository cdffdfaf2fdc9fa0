# SPDX-License-Identifier: Apache-2.0
"""Which sampling rate a flow has, and where it is from (traps 67-73)."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from flowgauge.schema.enums import SAMPLING_SOURCE
from flowgauge.wire import streams
from flowgauge.wire.decoder import Decoded, Decoder
from flowgauge.wire.sampling import rate_of
from netflow9_kit import INTERFACE, SYSTEM, TEMPLATE, Spec, flowset, options_template, packet
from netflow9_kit import template as template9
from wire_kit import a_set, column, decode, message, template

FLOW: tuple[Spec, ...] = ((8, 4), (10, 4), (14, 4), (61, 1), (48, 1), (1, 4))


def flow(octets: int, *, in_if: int = 1, out_if: int = 2, direction: int = 0, sampler: int = 0) -> bytes:
    return bytes((10, 0, 0, 1)) + struct.pack("!IIBBI", in_if, out_if, direction, sampler, octets)


def told(scope: list[Spec], fields: list[Spec], *records: bytes, number: int = 400) -> tuple[bytes, bytes]:
    return flowset(1, options_template(number, scope, fields)), flowset(number, *records)


def rates(decoded: Decoded) -> dict[int, tuple[int, str]]:
    """Rate and source of each flow, by its bytes."""
    if "sampling_rate" not in decoded.flows:
        return dict.fromkeys(column(decoded, "bytes"), (0, "unknown"))
    sources = [SAMPLING_SOURCE[number] for number in column(decoded, "sampling_source")]
    return dict(zip(column(decoded, "bytes"), zip(column(decoded, "sampling_rate"), sources, strict=True), strict=True))


def seen(*sets: bytes, decoder: Decoder | None = None, **header: int) -> dict[int, tuple[int, str]]:
    return rates(decode(packet(flowset(0, template9(256, FLOW)), *sets, **header), decoder=decoder))


# --- what is told -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "rate"),
    [
        ({"samplingInterval": 1000, "samplingAlgorithm": 1}, 1000),
        ({"samplerRandomInterval": 512, "samplerMode": 2}, 512),
        ({"samplingPacketInterval": 1, "samplingPacketSpace": 999}, 1000),
        ({"samplingPacketInterval": 10, "samplingPacketSpace": 90}, 10),
        ({"samplingPacketInterval": 1, "samplingPacketSpace": 0}, 1),
        ({"samplingSize": 3, "samplingPopulation": 300}, 100),
        ({"samplingProbability": 0.001}, 1000),
        ({"samplingProbability": 1.0}, 1),
        ({"samplingProbability": 0.0}, 0),
        ({"samplingProbability": float("nan")}, 0),
        ({"samplingInterval": 0}, 0),
        ({"samplingInterval": 2**40}, 2**32 - 1),
        ({"samplingPacketInterval": 5}, 0),
        ({"samplingInterval": b"\0"}, 0),
        ({}, 0),
    ],
)
def test_trap_68_a_rate_in_whichever_elements(record: dict[str, Any], rate: int) -> None:
    assert rate_of(record) == rate


@pytest.mark.parametrize("length", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("element", [34, 50])
def test_trap_69_a_rate_of_every_width(element: int, length: int) -> None:
    found = seen(*told([(SYSTEM, 4)], [(element, length)], bytes(4) + (100).to_bytes(length, "big")), flowset(256, flow(5)))
    assert found == {5: (100, "system")}


@pytest.mark.parametrize("length", [1, 2, 4, 8])
def test_trap_69_a_records_own_rate_of_every_width(length: int) -> None:
    definition = a_set(2, template(256, [(305, length), (306, length), (1, 4)]))
    own = (1).to_bytes(length, "big") + (99).to_bytes(length, "big") + struct.pack("!I", 5)
    assert rates(decode(message(definition, a_set(256, own)))) == {5: (100, "record")}


@pytest.mark.parametrize(
    ("fields", "raw", "rate"),
    [
        ([(305, 4), (306, 4)], struct.pack("!II", 3, 5), 3),
        ([(305, 4), (306, 4)], struct.pack("!II", 10, 990), 100),
        ([(305, 4), (306, 4)], struct.pack("!II", 0, 990), 0),
        ([(305, 8), (306, 8)], struct.pack("!QQ", 1, 2**64 - 1), 2**32 - 1),
        ([(309, 2), (310, 4)], struct.pack("!HI", 2, 128), 64),
        ([(309, 2), (310, 4)], struct.pack("!HI", 0, 128), 0),
        ([(311, 8)], struct.pack("!d", 0.01), 100),
        ([(311, 4)], struct.pack("!f", 1 / 512), 512),
        ([(311, 8)], struct.pack("!d", 0.0), 0),
        ([(311, 8)], struct.pack("!d", 1.5), 0),
        ([(311, 8)], bytes.fromhex("7ff0000000000001"), 0),
    ],
)
def test_trap_68_a_records_own_rate_as_a_ratio_or_a_probability(fields: list[Spec], raw: bytes, rate: int) -> None:
    definition = a_set(2, template(256, [*fields, (1, 4)]))
    assert rates(decode(message(definition, a_set(256, raw + struct.pack("!I", 5)))))[5][0] == rate


@pytest.mark.parametrize(
    ("raw", "rate"),
    [
        ("e9030000", 1001),
        ("01000000", 1),
        ("00ffffff", 0xFFFFFF),
        ("00010000", 65536),
        ("01000001", 0x01000001),
        ("000003e9", 1001),
    ],
)
def test_a_records_own_rate_in_the_other_byte_order(raw: str, rate: int) -> None:
    """As MikroTik's RouterOS sends samplingInterval: rates that nobody uses are those of the other order."""
    definition = a_set(2, template(256, [(34, 4), (1, 4)]))
    assert rates(decode(message(definition, a_set(256, bytes.fromhex(raw) + struct.pack("!I", 5))))) == {5: (rate, "record")}


def test_a_probability_is_a_float() -> None:
    """SamplingProbability (311) is a float64 and may come as a float32."""
    for length, code in ((8, "!Id"), (4, "!If")):
        options = a_set(3, template(300, [(149, 4), (311, length)], scope=1)), a_set(300, struct.pack(code, 1, 1 / 512))
        data = a_set(2, template(256, [(8, 4), (1, 4)])), a_set(256, bytes((10, 0, 0, 1)) + struct.pack("!I", 5))
        assert rates(decode(message(*options, *data))) == {5: (512, "system")}


# --- which one counts ---------------------------------------------------------------------------------------------------------


def test_trap_67_the_nearest_rate_counts() -> None:
    """Record, sampler, interface, template, system, in this order."""
    fields = (*FLOW[:-1], (34, 4), (1, 4))

    def own(rate: int, octets: int, **named: int) -> bytes:
        return flow(0, **named)[:-4] + struct.pack("!II", rate, octets)

    decoded = decode(packet(
        *told([(SYSTEM, 4)], [(34, 4)], struct.pack("!II", 0, 10), number=400),
        *told([(TEMPLATE, 2)], [(34, 4)], struct.pack("!HI", 257, 20), number=401),
        *told([(INTERFACE, 4)], [(34, 4)], struct.pack("!II", 7, 30), number=402),
        *told([(SYSTEM, 4)], [(48, 1), (50, 4)], struct.pack("!IBI", 0, 3, 40), number=403),
        flowset(0, template9(257, fields), template9(258, fields)),
        flowset(257, own(50, 1, in_if=7, sampler=3), own(0, 2, in_if=7, sampler=3), own(0, 3, in_if=7), own(0, 4)),
        flowset(258, own(0, 5)),
    ))  # fmt: skip
    assert rates(decoded) == {
        1: (50, "record"), 2: (40, "selector"), 3: (30, "interface"), 4: (20, "system"), 5: (10, "system"),
    }  # fmt: skip


def test_trap_67_unknown_is_not_one() -> None:
    assert seen(flowset(256, flow(5))) == {5: (0, "unknown")}
    assert seen(*told([(SYSTEM, 4)], [(34, 4)], bytes(8)), flowset(256, flow(5))) == {5: (0, "unknown")}


def test_trap_70_ingress_and_egress_of_one_interface_may_differ() -> None:
    """And what is told of one interface says nothing of another."""
    fields = [(61, 1), (34, 4)]
    options = told([(INTERFACE, 4)], fields, struct.pack("!IBI", 7, 0, 100), struct.pack("!IBI", 7, 1, 200))
    found = seen(*options, flowset(256, flow(1, in_if=7), flow(2, out_if=7, direction=1), flow(3, in_if=8), flow(4, out_if=7)))
    assert found == {1: (100, "interface"), 2: (200, "interface"), 3: (0, "unknown"), 4: (0, "unknown")}


def test_trap_70_ipfix_says_the_direction_with_the_element() -> None:
    def scope(element: int, number: int, rate: int) -> tuple[bytes, bytes]:
        definition = a_set(3, template(300 + element, [(element, 4), (34, 4)], scope=1))
        return definition, a_set(300 + element, struct.pack("!II", number, rate))

    data = (
        a_set(2, template(256, FLOW)),
        a_set(256, flow(1, in_if=7), flow(2, out_if=7, direction=1), flow(3, in_if=9, out_if=9)),
    )
    assert rates(decode(message(*scope(10, 7, 100), *scope(14, 7, 200), *data))) == {
        1: (100, "interface"),
        2: (200, "interface"),
        3: (0, "unknown"),
    }


def test_the_rate_told_in_another_domain_of_the_exporter_is_the_last_resort() -> None:
    """Some devices tell in one domain what holds for all of their line cards."""
    decoder = Decoder()
    assert seen(*told([(SYSTEM, 4)], [(34, 4)], struct.pack("!II", 0, 77)), decoder=decoder, source_id=0) == {}
    assert seen(flowset(256, flow(5)), decoder=decoder, source_id=256) == {5: (77, "system")}
    other = decode(packet(flowset(0, template9(256, FLOW)), flowset(256, flow(5))), decoder=decoder, source="192.0.2.9")
    assert rates(other) == {5: (0, "unknown")}


def system(rate: int) -> tuple[bytes, bytes]:
    return told([(SYSTEM, 4)], [(34, 4)], struct.pack("!II", 0, rate))


def test_domains_that_differ_tell_no_rate_of_a_third_until_they_agree() -> None:
    decoder = Decoder()
    flows = flowset(256, flow(5))
    assert seen(*system(100), flows, decoder=decoder, source_id=1) == {5: (100, "system")}
    assert seen(flows, decoder=decoder, source_id=3) == {5: (100, "system")}
    assert seen(*system(200), flows, decoder=decoder, source_id=2) == {5: (200, "system")}
    disputed = decode(packet(flows, source_id=3, sequence=1), decoder=decoder)
    assert rates(disputed) == {5: (0, "disputed")}
    assert disputed.counts["decode_rates_disputed"] == 1
    assert seen(flows, decoder=decoder, source_id=1) == {5: (100, "system")}
    seen(*system(200), decoder=decoder, source_id=1)
    assert seen(flows, decoder=decoder, source_id=3) == {5: (200, "system")}


def test_what_a_domain_says_of_itself_counts_before_what_others_say_of_samplers() -> None:
    decoder = Decoder()
    sampler = told([(SYSTEM, 4)], [(48, 1), (50, 4)], struct.pack("!IBI", 0, 3, 40))
    seen(*sampler, decoder=decoder, source_id=1)
    named = flowset(256, flow(5, sampler=3))
    assert seen(named, decoder=decoder, source_id=2) == {5: (40, "selector")}
    assert seen(*system(10), named, decoder=decoder, source_id=2) == {5: (10, "system")}


def test_a_domain_whose_samplers_differ_disputes_the_rate_of_the_device() -> None:
    decoder = Decoder()
    seen(*system(100), decoder=decoder, source_id=1)
    differing = struct.pack("!IBI", 0, 1, 64), struct.pack("!IBI", 0, 2, 128)
    seen(*told([(SYSTEM, 4)], [(48, 1), (50, 4)], *differing), decoder=decoder, source_id=2)
    flows = flowset(256, flow(1, sampler=2), flow(2, sampler=9))
    assert seen(flows, decoder=decoder, source_id=3) == {1: (128, "selector"), 2: (0, "disputed")}


def test_rates_are_bounded_by_address_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_RATES_OF_ADDRESS", 3)
    decoder = Decoder()
    four = [struct.pack("!II", interface, 30) for interface in (1, 2, 3, 4)]
    interfaces = told([(INTERFACE, 4)], [(34, 4)], *four)
    found = seen(*interfaces, flowset(256, flow(1, in_if=3), flow(2, in_if=4)), decoder=decoder)
    assert found == {1: (30, "interface"), 2: (0, "unknown")}
    other = decode(packet(*interfaces, source_id=2), decoder=decoder, source="192.0.2.9")
    assert other.counts["decode_options_records"] == 4
    (report,) = (one for one in decoder.reports() if one.obs_domain_id == 2)
    assert [rate.of for rate in report.rates] == ["interface 1", "interface 2", "interface 3"]


def test_the_rates_of_a_domain_that_is_forgotten_hold_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS_OF_ADDRESS", 2)
    decoder = Decoder()
    flows = flowset(256, flow(5))
    seen(*system(100), decoder=decoder, source_id=1)
    seen(*system(200), decoder=decoder, source_id=2)
    assert seen(flows, decoder=decoder, source_id=3) == {5: (0, "disputed")}
    assert seen(flows, decoder=decoder, source_id=3) == {5: (200, "system")}


def test_samplers_of_one_rate_hold_for_records_that_name_none() -> None:
    fields: tuple[Spec, ...] = ((8, 4), (1, 4))
    record = flowset(0, template9(257, fields)), flowset(257, bytes((10, 0, 0, 1)) + struct.pack("!I", 5))
    same = struct.pack("!IBI", 0, 1, 64), struct.pack("!IBI", 0, 2, 64)
    assert seen(*told([(SYSTEM, 4)], [(48, 1), (50, 4)], *same), *record) == {5: (64, "system")}
    differing = struct.pack("!IBI", 0, 1, 64), struct.pack("!IBI", 0, 2, 128)
    assert seen(*told([(SYSTEM, 4)], [(48, 1), (50, 4)], *differing), *record) == {5: (0, "unknown")}


def test_trap_71_options_in_the_same_batch_correct_what_came_before_them() -> None:
    """What was passed on in an earlier batch stays unknown, not 1: nobody stores a wrong rate."""
    decoder = Decoder()
    assert seen(flowset(256, flow(5)), decoder=decoder) == {5: (0, "unknown")}
    options = packet(*told([(SYSTEM, 4)], [(34, 4)], struct.pack("!II", 0, 77)), sequence=2)
    decoded = decode(
        packet(flowset(256, flow(6)), sequence=1), options, packet(flowset(256, flow(7)), sequence=3), decoder=decoder
    )
    assert rates(decoded) == {6: (77, "system"), 7: (77, "system")}


def test_trap_71_rates_survive_a_restart() -> None:
    decoder = Decoder()
    sampler = told([(SYSTEM, 4)], [(48, 1), (50, 4)], struct.pack("!IBI", 0, 3, 40), number=403)
    interface = told([(INTERFACE, 4)], [(34, 4)], struct.pack("!II", 7, 30), number=402)
    seen(*told([(SYSTEM, 4)], [(34, 4)], struct.pack("!II", 0, 10)), *sampler, *interface, decoder=decoder)
    again = Decoder()
    again.restore(decoder.save(), 0)
    found = rates(decode(packet(flowset(256, flow(1, sampler=3), flow(2, in_if=7), flow(3))), decoder=again))
    assert found == {1: (40, "selector"), 2: (30, "interface"), 3: (10, "system")}


def test_trap_73_events_are_not_sampled() -> None:
    fields: tuple[Spec, ...] = ((8, 4), (230, 1))
    options = told([(SYSTEM, 4)], [(34, 4)], struct.pack("!II", 0, 100))
    decoded = decode(packet(*options, flowset(0, template9(257, fields)), flowset(257, bytes((10, 0, 0, 1, 4)))))
    assert column(decoded, "sampling_rate") == [0]
    assert column(decoded, "record_kind") == [3]


def test_both_directions_of_a_record_have_its_rate() -> None:
    fields = ((8, 4), (12, 4), (10, 4), (14, 4), (1, 4), (1, 4, 29305))
    options = a_set(3, template(300, [(149, 4), (34, 4)], scope=1)), a_set(300, struct.pack("!II", 1, 100))
    data = bytes((10, 0, 0, 1, 10, 0, 0, 2)) + struct.pack("!IIII", 1, 2, 5, 6)
    decoded = decode(message(*options, a_set(2, template(256, fields)), a_set(256, data)))
    assert rates(decoded) == {5: (100, "system"), 6: (100, "system")}
