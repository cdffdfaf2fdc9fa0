# SPDX-License-Identifier: Apache-2.0
"""Wherever a datagram of any device is cut, its rows are some of those of the whole one, and nothing else is called wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoded, Decoder
from golden_cases import CASES
from sflow_kit import words
from wire_mutations import Mutator

NUMBERS = ("src_port", "dst_port", "proto", "bytes", "packets", "record_kind", "tcp_flags", "template_id")
OF_SAMPLES = ("bytes", "packets", "record_kind")
"""A sample that is cut lacks what its later bytes tell of the packet."""


def decode(decoder: Decoder, payload: bytes, missing: int = 0) -> Decoded:
    datagrams = Datagrams.from_payloads([payload], "192.0.2.1", received_ns=1_767_000_000_000_000_000)
    return decoder.decode(replace(datagrams, missing=np.array([missing], np.int32)) if missing else datagrams)


def rows(decoded: Decoded, names: tuple[str, ...]) -> Counter[tuple[Any, ...]]:
    """The rows by their values, a column that is not there being zeros."""
    flows = decoded.flows
    nothing = np.zeros(len(flows), np.int64)
    return Counter(zip(*((flows.array(name) if name in flows else nothing).tolist() for name in names), strict=True))


@given(name=st.sampled_from(sorted(CASES)), data=st.data())
def test_what_is_there_of_a_datagram(name: str, data: st.DataObject) -> None:
    payloads = CASES[name].payloads
    number = data.draw(st.integers(0, len(payloads) - 1))
    payload = payloads[number]
    size = data.draw(st.integers(0, len(payload) - 1))
    one, other = Decoder(), Decoder()
    for before in payloads[:number]:
        decode(one, before)
        decode(other, before)
    full, cut = decode(one, payload), decode(other, payload[:size], len(payload) - size)
    assert cut.causes - full.causes == {"datagram_cut": 1}
    names = OF_SAMPLES if payload[:4] == words(5) else NUMBERS
    assert not rows(cut, names) - rows(full, names)


@given(name=st.sampled_from([name for name in sorted(CASES) if name.startswith("sflow")]), seed=st.integers(0, 2**32))
def test_broken_datagrams_that_were_cut_besides(name: str, seed: int) -> None:
    """Missing more or less than is true, beside each other in one batch."""
    chance, decoder = np.random.default_rng(seed), Decoder(detailed=bool(seed & 1))
    samples = [bytearray(payload) for payload in CASES[name].payloads]
    for sample in samples:
        sample[int(chance.integers(len(sample)))] = int(chance.integers(256))
    for _ in range(3):
        payloads = [bytes(one[: chance.integers(len(one) + 1)]) for one in (*Mutator(seed).batch(10), *samples)]
        missing = chance.choice(np.array([0, 1, 4, 100, 70_000], np.int32), len(payloads))
        decoded = decoder.decode(replace(Datagrams.from_payloads(payloads), missing=missing))
        assert decoded.counts.get("decode_records", 0) == len(decoded.flows)
        assert decoded.causes["datagram_cut"] == np.count_nonzero(missing)
