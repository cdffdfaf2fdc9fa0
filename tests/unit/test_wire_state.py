# SPDX-License-Identifier: Apache-2.0
"""State of templates: whose they are, who may push out whose, when they end, and what a restart keeps (traps 32-47)."""

from __future__ import annotations

import struct
import tracemalloc
from itertools import permutations

import numpy as np
import pytest

from flowgauge.flow.addresses import packed
from flowgauge.wire import streams as streams_module
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoded, Decoder, StateError
from netflow9_kit import basic as basic9
from netflow9_kit import basic_template as template9
from netflow9_kit import flowset, packet
from wire_kit import BASIC, VARIABLE, a_set, basic, basic_template, column, decode, message, template

SWAPPED = (*BASIC[:5], (2, 4), (1, 4))
SWAPPED_TEMPLATE = a_set(2, template(256, SWAPPED))
S = 10**9


def heard(decoder: Decoder, *payloads: bytes, port: int = 0, at_s: float = 0, source: str = "192.0.2.1") -> Decoded:
    return decoder.decode(Datagrams.from_payloads(payloads, source, port, int(at_s * S)))


def joined(*parts: Datagrams) -> Datagrams:
    """Several senders in one batch."""
    slot = max(part.payloads.shape[1] for part in parts)
    payloads = [np.pad(part.payloads, ((0, 0), (0, slot - part.payloads.shape[1]))) for part in parts]
    names = ("lengths", "source_addr", "source_port", "received_ns")
    return Datagrams(np.concatenate(payloads), *(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def test_trap_34_data_that_wait_are_read_by_the_template_that_comes() -> None:
    decoder = Decoder()
    heard(decoder, message(a_set(256, basic(10, 3))))
    decoded = heard(decoder, message(basic_template(), SWAPPED_TEMPLATE, sequence=1))
    assert column(decoded, "bytes") == [3]


def test_trap_41_an_exporter_that_invents_domains_pushes_out_only_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "MAX_STREAMS_OF_ADDRESS", 8)
    decoder = Decoder()
    heard(decoder, message(basic_template()), source="192.0.2.1")
    for domain in range(1000):
        heard(decoder, message(basic_template(), domain=domain), source="203.0.113.66")
    assert column(heard(decoder, message(a_set(256, basic(5)), sequence=0), source="192.0.2.1"), "bytes") == [5]
    assert sum(report.exporter_addr == packed("203.0.113.66") for report in decoder.reports()) == 8


def test_trap_41_an_exporter_that_invents_fields_pushes_out_only_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "MAX_FIELDS_OF_ADDRESS", 10 * len(BASIC))
    decoder = Decoder()
    heard(decoder, message(basic_template()), source="192.0.2.1")
    for domain in range(50):
        many = a_set(2, *(template(256 + number, BASIC) for number in range(5)))
        heard(decoder, message(many, domain=domain), source="203.0.113.66")
    assert column(heard(decoder, message(a_set(256, basic(5)), sequence=0), source="192.0.2.1"), "bytes") == [5]
    assert sum(report.templates for report in decoder.reports() if report.exporter_addr == packed("203.0.113.66")) == 10


def test_trap_41_invented_addresses_go_before_one_that_has_been_there_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "MAX_STREAMS", 16)
    decoder = Decoder()
    for at_s in (0, 70):
        heard(decoder, message(basic_template()), source="192.0.2.1", at_s=at_s)
    for number in range(200):
        heard(decoder, message(basic_template()), source=f"203.0.113.{number}", at_s=71)
    assert column(heard(decoder, message(a_set(256, basic(5)), sequence=0), source="192.0.2.1", at_s=72), "bytes") == [5]
    assert len(decoder.reports()) == 16


def test_trap_42_templates_last_for_ever_by_default() -> None:
    """Devices exist that announce once a session."""
    decoder = Decoder()
    heard(decoder, message(basic_template()), at_s=1)
    assert column(heard(decoder, message(a_set(256, basic(5))), at_s=90 * 86_400), "bytes") == [5]


def test_trap_42_announcing_renews_a_template_and_using_it_does_not() -> None:
    decoder = Decoder(template_lifetime_s=1800)
    heard(decoder, message(basic_template(), a_set(2, template(257, SWAPPED))), at_s=100)
    for at_s in range(200, 1800, 100):
        heard(decoder, message(a_set(257, basic(1, 2))), at_s=at_s)
    heard(decoder, message(basic_template()), at_s=1800)
    decoded = heard(decoder, message(a_set(256, basic(5)), a_set(257, basic(6))), at_s=2000)
    assert column(decoded, "bytes") == [5]
    assert decoded.counts["decode_templates_expired"] == 1


def test_trap_43_what_happens_in_one_domain_leaves_the_others_alone() -> None:
    decoder = Decoder()
    heard(decoder, *(message(basic_template(), domain=domain, sequence=9000) for domain in (1, 2)))
    data = a_set(256, basic(5))
    restart = (message(data, domain=1, sequence=0), message(data, domain=1, sequence=1))
    withdrawal = message(a_set(2, struct.pack("!HH", 2, 0)), domain=1, sequence=2)
    decoded = heard(decoder, *restart, withdrawal, message(data, domain=2, sequence=9000))
    assert decoded.counts["sequence_resets"] == 1
    assert column(decoded, "obs_domain_id") == [1, 1, 2]
    assert {report.obs_domain_id: report.templates for report in decoder.reports()} == {1: 0, 2: 1}


def fnv1a(content: bytes) -> int:
    """The 32-bit hash by which some collectors find templates."""
    value = 0x811C9DC5
    for octet in content:
        value = (value ^ octet) * 0x01000193 & 0xFFFFFFFF
    return value


def test_trap_45_keys_are_not_hashes() -> None:
    """Two exporters whose address and template id have the same hash of 32 bits keep a layout each."""
    first, second, number = "2.222.175.166", "176.205.12.178", (256).to_bytes(2, "big")
    assert fnv1a(packed(first)[12:] + number) == fnv1a(packed(second)[12:] + number)
    decoder = Decoder()
    heard(decoder, message(basic_template()), source=first)
    heard(decoder, message(SWAPPED_TEMPLATE), source=second)
    assert column(heard(decoder, message(a_set(256, basic(5, 3))), source=first), "bytes") == [5]
    assert column(heard(decoder, message(a_set(256, basic(3, 6))), source=second), "bytes") == [6]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_trap_47_the_order_of_batches_does_not_matter_for_templates(order: tuple[int, ...]) -> None:
    """Receivers hand over batches of one exporter in any order: templates reach the data of all of them."""
    batches = [message(basic_template()), message(a_set(256, basic(5))), message(a_set(256, basic(6)), sequence=1)]
    decoder = Decoder()
    found = [heard(decoder, batches[number]) for number in order]
    assert sorted(octets for decoded in found if len(decoded.flows) for octets in column(decoded, "bytes")) == [5, 6]


def test_trap_46_an_exporter_may_change_its_port() -> None:
    decoder = Decoder()
    heard(decoder, message(basic_template()), port=1000)
    for port in range(2000, 2050):
        assert column(heard(decoder, message(a_set(256, basic(port)), sequence=port - 2000), port=port), "bytes") == [port]
    assert decoder.finish() == {}


@pytest.mark.parametrize("together", [True, False])
def test_trap_46_two_exporters_behind_one_address(*, together: bool) -> None:
    """The same address, domain and id with two layouts: told apart by port from the moment of the contradiction."""
    decoder = Decoder()
    counts, rows = {}, []
    for turn in range(4):
        first = message(basic_template(), a_set(256, basic(100 + turn, 3)), sequence=turn)
        second = message(SWAPPED_TEMPLATE, a_set(256, basic(3, 200 + turn)), sequence=turn)
        parts = [Datagrams.from_payloads([payload], "192.0.2.1", port) for payload, port in ((first, 1000), (second, 2000))]
        for batch in [joined(*parts)] if together else parts:
            decoded = decoder.decode(batch)
            rows += column(decoded, "bytes")
            counts = {name: counts.get(name, 0) + decoded.counts.get(name, 0) for name in {*counts, *decoded.counts}}
    assert sorted(rows) == [100, 101, 102, 103, 200, 201, 202, 203]
    assert counts["decode_port_splits"] == 1
    assert decoder.finish() == {}
    assert sorted(report.source_port for report in decoder.reports()) == [1000, 2000]


def test_trap_46_what_is_not_contradicted_stays_known_after_a_split() -> None:
    """An exporter that came back from another port with one new layout announces the others later."""
    decoder = Decoder()
    heard(decoder, message(basic_template(), a_set(2, template(257, BASIC))), port=1000, at_s=1)
    heard(decoder, message(SWAPPED_TEMPLATE), port=2000, at_s=2)
    decoded = heard(decoder, message(a_set(257, basic(7)), a_set(256, basic(3, 8))), port=2000, at_s=3)
    assert sorted(column(decoded, "bytes")) == [7, 8]
    decoded = heard(decoder, message(a_set(257, basic(7)), a_set(256, basic(3, 8)), sequence=2), port=3000, at_s=4)
    assert sorted(column(decoded, "bytes")) == [7, 8]


def test_trap_46_after_a_split_a_port_may_define_anew_what_the_other_had_announced() -> None:
    """Each port announces one template, then both contradict each other's."""
    decoder = Decoder()
    heard(decoder, message(basic_template()), port=1000)
    heard(decoder, message(basic_template(257)), port=2000)
    heard(decoder, message(SWAPPED_TEMPLATE), port=2000)
    heard(decoder, message(a_set(2, template(257, SWAPPED))), port=1000)
    for port, first, second in ((1000, basic(5), basic(3, 6)), (2000, basic(3, 7), basic(8))):
        decoded = heard(decoder, message(a_set(256, first), a_set(257, second)), port=port)
        assert sorted(column(decoded, "bytes")) == ([5, 6] if port == 1000 else [7, 8])
    assert len(decoder.reports()) == 2


def test_trap_46_splits_are_bounded() -> None:
    decoder = Decoder()
    for port in range(1, 200):
        fields = (*BASIC, *[(210, 1)] * port)
        heard(decoder, message(a_set(2, template(256, fields)), a_set(256, basic(port) + bytes(port))), port=port)
    assert len(decoder.reports()) <= streams_module.MAX_SPLITS


# --- restarts -----------------------------------------------------------------------------------------------------------------


def restarted(decoder: Decoder, now_ns: int = 0) -> Decoder:
    fresh = Decoder()
    fresh.restore(decoder.save(), now_ns)
    return fresh


def test_a_restart_keeps_templates_of_both_protocols() -> None:
    decoder = Decoder()
    variable = a_set(2, template(258, [(8, 4), (96, VARIABLE), (1, 4)]))
    options = a_set(3, template(257, [(149, 4), (34, 4)], scope=1))
    heard(decoder, message(basic_template(), variable, options, domain=7), packet(template9(), source_id=8))
    again = restarted(decoder)
    said = a_set(257, struct.pack("!II", 7, 50))
    record = a_set(258, bytes((10, 0, 0, 1)) + b"\x03dns" + struct.pack("!I", 9))
    decoded = heard(again, message(a_set(256, basic(5)), record, said, domain=7), packet(flowset(256, basic9(6)), source_id=8))
    assert sorted(column(decoded, "bytes")) == [5, 6, 9]
    assert decoded.options[0].records[0]["samplingInterval"] == 50
    assert {report.provisional for report in again.reports()} == {3, 1}
    assert restarted(decoder).save() == decoder.save()


def test_trap_44_what_an_earlier_collector_knew_is_provisional_until_announced() -> None:
    decoder = Decoder()
    heard(decoder, message(basic_template()), at_s=1)
    again = restarted(decoder)
    heard(again, message(basic_template()), at_s=2)
    assert [report.provisional for report in again.reports()] == [0]


def test_trap_44_a_template_that_contradicts_the_data_is_dropped() -> None:
    """The device was upgraded meanwhile: its records have another length now. They wait for their template."""
    decoder = Decoder()
    heard(decoder, message(basic_template()))
    again = restarted(decoder)
    longer = (*BASIC, (10, 4))
    data = a_set(256, *(basic(octets) + bytes(4) for octets in (5, 6)))
    decoded = heard(again, message(data))
    assert not len(decoded.flows)
    assert decoded.counts["decode_unknown_template_sets"] == 1
    assert column(heard(again, message(a_set(2, template(256, longer)), sequence=2)), "bytes") == [5, 6]


def test_a_restart_keeps_exporters_behind_one_address_apart() -> None:
    decoder = Decoder()
    heard(decoder, message(basic_template()), port=1000)
    heard(decoder, message(SWAPPED_TEMPLATE), port=2000)
    again = restarted(decoder)
    assert column(heard(again, message(a_set(256, basic(5, 3))), port=1000), "bytes") == [5]
    assert column(heard(again, message(a_set(256, basic(3, 6))), port=2000), "bytes") == [6]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1,2]", b'{"format":99,"layouts":[],"streams":[]}', b"\xff"])
def test_bytes_that_are_no_state_are_refused_in_one_sentence(content: bytes) -> None:
    with pytest.raises(StateError, match="state"):
        Decoder().restore(content, 0)


@pytest.mark.parametrize(
    ("layout", "stream"),
    [
        ("[false,0,[[0,1,70000]]]", '{"protocol":10,"address":"::1","domain":1,"port":0,"boot_ms":0,"templates":[[256,0,0]]}'),
        ("[false,0,[[0,1,0]]]", '{"protocol":10,"address":"::1","domain":1,"port":0,"boot_ms":0,"templates":[[256,0,0]]}'),
        ("[false,0,[]]", '{"protocol":10,"address":"::1","domain":1,"port":0,"boot_ms":0,"templates":[[256,0,0]]}'),
        (
            "[false,0,[[0,1,4]]]",
            '{"protocol":10,"address":"::1","domain":1,"port":0,"boot_ms":0,"templates":[[2,0,0]]}',
        ),
        ("[false,0,[[0,1,4]]]", '{"protocol":10,"address":"no","domain":1,"port":0,"boot_ms":0,"templates":[[256,0,0]]}'),
        ("[false,0,[[0,1,4]]]", '{"protocol":5,"address":"::1","domain":-1,"port":0,"boot_ms":0,"templates":[[256,0,0]]}'),
    ],
)
def test_a_state_that_makes_no_sense_restores_nothing(layout: str, stream: str) -> None:
    state = f'{{"format":1,"layouts":[{layout}],"streams":[{stream}]}}'
    assert Decoder().restore(state.encode(), 0) == 0


def test_a_state_of_which_one_stream_cannot_be_read_restores_nothing() -> None:
    decoder = Decoder()
    heard(decoder, message(basic_template(), domain=1), message(basic_template(), domain=2))
    content, again = decoder.save(), Decoder()
    assert content.count(b'"domain":2') == 1
    with pytest.raises(StateError, match="state"):
        again.restore(content.replace(b'"domain":2', b'"domain":"x"'), 0)
    assert again.reports() == []


def test_a_template_takes_little_memory_before_and_after_a_restart() -> None:
    """Of a million templates each byte is a megabyte."""
    told = [message(a_set(2, *(template(256 + 20 * part + one, BASIC) for one in range(20)))) for part in range(5)]
    exporters = [f"198.51.100.{number}" for number in range(20)]

    def announce(decoder: Decoder, at_s: int) -> None:
        for number, source in enumerate(exporters):
            heard(decoder, *told, source=source, at_s=at_s + number)

    def begun() -> tuple[Decoder, int]:
        """A decoder that has decoded once, and what is taken then, whoever else announces templates."""
        decoder = Decoder()
        heard(decoder, *told)
        return decoder, tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        decoder, before = begun()
        announce(decoder, 1)
        sizes, content = [tracemalloc.get_traced_memory()[0] - before], decoder.save()
        del decoder
        again, before = begun()
        again.restore(content, 0)
        sizes.append(tracemalloc.get_traced_memory()[0] - before)
        announce(again, 1000)
        sizes.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    assert {report.provisional for report in again.reports()} == {0}
    each = [size / len(exporters) / 100 for size in sizes]
    assert max(each) < 270, each  # 404 with a dict in order of announcement and the contents of sets


# --- what is known of exporters -----------------------------------------------------------------------------------------------


def test_reports_say_what_was_lost_and_what_is_awaited() -> None:
    decoder = Decoder()
    heard(decoder, message(basic_template(), export_s=100), at_s=103.5)
    heard(decoder, message(a_set(256, basic(1)), export_s=200), at_s=203)
    heard(decoder, message(a_set(256, basic(1)), sequence=11, export_s=300), message(basic_template(), sequence=12), at_s=303)
    heard(decoder, message(a_set(300, b"x" * 20), sequence=12, export_s=400), at_s=403)
    (report,) = decoder.reports()
    assert (report.lost_records, report.lost_datagrams, report.templates, report.waiting_sets) == (10, 0, 1, 1)
    assert (report.heard_ns, report.skew_ns, report.waiting_since_ns) == (403 * S, 3 * S, 403 * S)
    assert (report.announced_ns, report.refresh_ns) == (303 * S, 303 * S - int(103.5 * S))


def test_an_exporters_own_account_is_kept() -> None:
    fields = [(149, 4), (41, 8), (42, 8), (166, 8)]
    definition = a_set(3, template(300, fields, scope=1))
    decoder = Decoder()
    decode(message(definition, a_set(300, struct.pack("!IQQQ", 1, 10, 100, 3))), decoder=decoder)
    (report,) = decoder.reports()
    assert report.said == {
        "exportedMessageTotalCount": 10,
        "exportedFlowRecordTotalCount": 100,
        "notSentFlowTotalCount": 3,
    }
