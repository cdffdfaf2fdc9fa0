# SPDX-License-Identifier: Apache-2.0
"""Whatever arrives, the decoder counts it: it never raises, never keeps more than its bounds, and loses no good neighbour."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgauge.wire import data_decoder as data_decoder_module
from flowgauge.wire import history as history_module
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.problems import MAX_PROBLEMS
from wire_kit import a_set, basic, basic_template, column, decode, message, template
from wire_mutations import Mutator

pytestmark = pytest.mark.filterwarnings("error")
"""How long an example takes says more of the machine than of the decoder."""


@given(payloads=st.lists(st.binary(max_size=200), max_size=20))
def test_noise(payloads: list[bytes]) -> None:
    decode(*payloads)


@given(payloads=st.lists(st.binary(max_size=100).map(message), max_size=10))
def test_noise_in_a_good_header(payloads: list[bytes]) -> None:
    decode(*payloads)


@given(seed=st.integers(0, 2**32), batches=st.integers(1, 4))
def test_broken_messages_of_real_exporters(seed: int, batches: int) -> None:
    mutator, decoder = Mutator(seed), Decoder()
    for _ in range(batches):
        decoded = decode(*mutator.batch(20), decoder=decoder)
        assert decoded.counts.get("decode_records", 0) == len(decoded.flows)
        assert len(decoded.problems) <= MAX_PROBLEMS


@given(seed=st.integers(0, 2**32))
def test_a_broken_datagram_costs_its_neighbours_nothing(seed: int) -> None:
    """From another exporter, so that even a withdrawal among the garbage is not theirs."""
    decoder = Decoder()
    decode(message(basic_template()), decoder=decoder, source="198.51.100.1")
    garbage = [Mutator(seed + number).datagram() for number in range(3)]
    good = decode(message(a_set(256, basic(1), basic(2))), decoder=decoder, source="198.51.100.1")
    decode(*garbage, decoder=decoder, source="192.0.2.1")
    after = decode(message(a_set(256, basic(3)), sequence=2), decoder=decoder, source="198.51.100.1")
    assert sorted(column(good, "bytes")) == [1, 2]
    assert column(after, "bytes") == [3]


def test_a_template_of_one_byte_records_does_not_fill_memory() -> None:
    """The worst ratio of columns to bytes: 64 datagrams of 60,000 one-byte records, 3.8 MB."""
    payloads = [message(a_set(2, template(256, [(4, 1)]))), *[message(a_set(256, b"\6" * 60_000))] * 64]
    decoder = Decoder()
    tracemalloc.start()
    try:
        decoded = decode(*payloads, decoder=decoder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert decoded.counts["decode_error_datagrams"] > 0
    assert len(decoded.flows) < 64 * 60_000
    assert peak < 400 << 20


@pytest.mark.slow
def test_endless_new_templates_and_waiting_data_stay_within_their_bounds() -> None:
    """An attacker with many domains: the decoder forgets the oldest."""
    decoder = Decoder()
    tracemalloc.start()
    try:
        for domain in range(0, 3000, 100):
            payloads = [
                message(
                    a_set(2, template(256 + number, [(number + 1, 4)] * 20)), a_set(9999, bytes(1000)), domain=domain + number
                )
                for number in range(100)
            ]
            decode(*payloads, decoder=decoder)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 64 << 20


def test_one_batch_reads_a_bounded_number_of_templates_and_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond is named, and does not stay unread for ever: the next batch reads as much again."""
    monkeypatch.setattr(history_module, "MAX_TEMPLATE_SETS", 20)
    monkeypatch.setattr(data_decoder_module, "MAX_LAYOUTS", 10)
    layouts = [[(number + 1, 4), (1, 4)] for number in range(30)]
    payloads = [
        message(a_set(2, template(256 + n, layout)), a_set(256 + n, bytes(8)), domain=n) for n, layout in enumerate(layouts)
    ]
    decoder = Decoder()
    first = decode(*payloads, decoder=decoder)
    assert len(first.flows) == 10
    assert {problem.cause for problem in first.problems} == {"batch_templates", "batch_layouts"}
    assert first.counts["decode_error_datagrams"] == 20
    second = decode(*payloads[20:], decoder=decoder)
    assert second.counts["decode_template_changes"] == 10


def test_templates_that_change_with_every_set_are_followed() -> None:
    """A thousand redefinitions in one batch, each before data that only it explains."""
    pieces = [
        a_set(2, template(256, [(1, 4), (2, 4)] if n % 2 else [(2, 4), (1, 4)])) + a_set(256, n.to_bytes(4, "big") + bytes(4))
        for n in range(1, 1001)
    ]
    decoded = decode(*[message(*pieces[at : at + 20], sequence=at) for at in range(0, 1000, 20)])
    assert sorted(column(decoded, "bytes")) == [0] * 500 + list(range(1, 1001, 2))
    assert sorted(column(decoded, "packets")) == [0] * 500 + list(range(2, 1001, 2))
