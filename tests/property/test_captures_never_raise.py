# SPDX-License-Identifier: Apache-2.0
"""Whatever a file holds, reading it ends with what was good in it, and takes no more memory than it is long."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_kit import ethernet, ip, pcap, reading, section, tcp
from capture_mutations import Mutator, corpus
from flowgauge.wire.captures.batches import batches, datagrams
from flowgauge.wire.captures.packet import Export
from flowgauge.wire.decoder import Decoder


@given(
    content=st.binary(max_size=300), start=st.sampled_from([b"", pcap([]), pcap([], 101, ">"), section("<"), b"\0\x0a\0\x14"])
)
def test_noise(content: bytes, start: bytes) -> None:
    reading(start + content)


@given(content=st.binary(max_size=100), link=st.sampled_from([0, 1, 9, 101, 104, 108, 113, 228, 276]))
def test_noise_in_a_packet(content: bytes, link: int) -> None:
    _, counts, damage = reading(pcap([content, ethernet(ip(content)), ethernet(ip(content, 6, v6=True))], link))
    assert not damage
    assert counts["packets"] == 3


@given(seed=st.integers(0, 2**32))
def test_damaged_captures(seed: int) -> None:
    """Each export is at most as long as a datagram, and the decoder takes them all."""
    found, _, _ = reading(Mutator(seed).file())
    assert all(len(export.payload) <= 65_535 for export in found)
    decoder = Decoder(detailed=True)
    for batch in batches(found):
        decoder.decode(datagrams(batch))


@given(sizes=st.lists(st.integers(0, 65_535), max_size=60))
def test_batches_keep_every_payload_in_order_within_their_bound(sizes: list[int]) -> None:
    exports = [Export(bytes([number % 251]) * size, port=number) for number, size in enumerate(sizes)]
    seen = []
    for batch in batches(exports):
        columns = datagrams(batch)
        assert columns.payloads.nbytes <= 4 << 20 or len(columns) == 1
        seen += [bytes(row[:length]) for row, length in zip(columns.payloads, columns.lengths, strict=True)]
    assert seen == [export.payload for export in exports]


def test_the_corpus_is_good() -> None:
    """Changes are made to files that are read whole: otherwise they would prove nothing."""
    for content in corpus():
        found, counts, damage = reading(content)
        assert found
        assert not damage
        assert not counts["tcp_gaps"]
        assert not counts["fragments_given_up"]


@pytest.mark.parametrize("proto", [6, 17])
def test_endless_beginnings_stay_within_their_bounds(proto: int) -> None:
    """Streams that never begin a message, and datagrams of which one fragment comes: an attacker has any number of them."""
    if proto == 6:
        frames = [
            ethernet(ip(tcp(b"\0\x0a" + bytes(1000), number * 5000, ports=(number & 0xFFFF, 1)), 6)) for number in range(9000)
        ]
    else:
        frames = []
        for number in range(9000):
            packet = bytearray(ip(bytes(1480)))
            packet[4:8] = (number & 0xFFFF).to_bytes(2, "big") + b"\x20\0"
            frames.append(ethernet(bytes(packet)))
    content = pcap(frames)
    del frames
    tracemalloc.start()
    try:
        reading(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20
