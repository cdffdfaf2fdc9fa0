# SPDX-License-Identifier: Apache-2.0
"""Tables for many addresses at once give what looking at each by itself gives; documents do not depend on how they are cut."""

from __future__ import annotations

import ipaddress
import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgauge.flow import addresses
from flowgauge.flow.prefixes import NOTHING, PrefixTable, prefix
from flowgauge.k8s.documents import Broken, Documents

v4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address) | st.integers(0, 255).map(
    lambda low: ipaddress.IPv4Address(0x0A000000 + low)
)
v6 = st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address) | st.integers(0, 255).map(
    lambda low: ipaddress.IPv6Address((0xFD << 120) + low)
)
anyone = v4 | v6
blocks = st.one_of(
    st.tuples(v4, st.integers(0, 32)).map(lambda pair: ipaddress.ip_network(pair, strict=False)),
    st.tuples(v6, st.integers(0, 128)).map(lambda pair: ipaddress.ip_network(pair, strict=False)),
)


def ends_mapped(block: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether an IPv6 block begins or ends with a v4-mapped address, which is IPv4 to us: an oracle by family would differ."""
    edges = (block.network_address, block.broadcast_address)
    return any(isinstance(edge, ipaddress.IPv6Address) and edge.ipv4_mapped for edge in edges)


@given(st.lists(blocks.filter(lambda block: not ends_mapped(block)), max_size=12), st.lists(anyone, min_size=1, max_size=20))
@settings(max_examples=150)
def test_the_longest_prefix_is_found(
    chosen: list[ipaddress.IPv4Network | ipaddress.IPv6Network], asked: list[ipaddress.IPv4Address | ipaddress.IPv6Address]
) -> None:
    edges = [edge for block in chosen for edge in (block.network_address, block.broadcast_address)]
    everyone = [*asked, *edges]
    table = PrefixTable((prefix(str(block)), number) for number, block in enumerate(chosen))
    found = table.lookup(addresses.from_texts(map(str, everyone))).tolist()
    last = {block: number for number, block in enumerate(chosen)}
    for address, number in zip(everyone, found, strict=True):
        around = [block for block in last if block.version == address.version and address in block]
        assert number == (last[max(around, key=lambda block: block.prefixlen)] if around else NOTHING)


def test_a_block_of_all_ipv6_holds_no_ipv4_address() -> None:
    table = PrefixTable([(prefix("::/0"), 1), (prefix("10.0.0.0/8"), 2)])
    asked = addresses.from_texts(["2001:db8::1", "10.1.2.3", "192.0.2.1", "::1"])
    assert table.lookup(asked).tolist() == [1, 2, NOTHING, 1]


@given(st.lists(st.binary(min_size=16, max_size=16) | st.sampled_from([bytes(16), b"\xff" * 16]), max_size=60))
def test_distinct_addresses_are_the_set_of_all(rows: list[bytes]) -> None:
    column = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 16)
    distinct, inverse = addresses.unique(column)
    assert {bytes(one) for one in distinct} == set(rows)
    assert len(distinct) == len(set(rows))
    assert [bytes(one) for one in distinct[inverse]] == rows


@given(st.integers(1, 2**63), st.integers(1, 2**63))
def test_distinct_addresses_survive_a_collision_of_hashes(first: int, second: int) -> None:
    one, other = (int(factor) for factor in addresses._MIX)
    # Solves first·one ^ second·other = 0, the hash of the absent address, for the second word of another address.
    colliding = first * one * pow(other, -1, 2**64) % 2**64
    column = np.array([[first, colliding], [0, 0], [first, second]], np.uint64).view(np.uint8).reshape(-1, 16)
    distinct, inverse = addresses.unique(column)
    assert np.array_equal(distinct[inverse], column)
    assert len(distinct) == len({bytes(row) for row in column})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    written=st.lists(st.dictionaries(st.text(max_size=9), values, max_size=3), max_size=4),
    indent=st.sampled_from([None, 2]),
    cuts=st.lists(st.integers(0, 400), max_size=6),
    ascii_only=st.booleans(),
)
@settings(max_examples=150)
def test_documents_do_not_depend_on_how_the_file_grew(
    written: list[dict[str, object]], indent: int | None, cuts: list[int], *, ascii_only: bool
) -> None:
    data = b"".join(
        json.dumps(one, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace") + b"\n" for one in written
    )
    stream, at = Documents(), 0
    read: list[object] = []
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        read += [one if isinstance(one, Broken) else one.value for one in stream.feed(data[at:cut])]
        at = cut
    assert read == [json.loads(json.dumps(one, ensure_ascii=ascii_only).encode("utf-8", "replace")) for one in written]
    assert stream.partial is None


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"{", b"}\n{", b'"', b"\n", b'{"a": 1}\n']), max_size=12))
@settings(max_examples=150)
def test_no_bytes_raise(pieces: list[bytes]) -> None:
    stream = Documents()
    found = [one for piece in pieces for one in stream.feed(piece)]
    assert all(one.line >= 1 for one in found)
