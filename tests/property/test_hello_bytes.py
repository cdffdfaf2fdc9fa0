# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes come: a hello, that more is needed, or that it is none; and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgauge.agent import quic_initial, tls_hello
from flowgauge.agent.quic_initial import Crypto
from flowgauge.agent.tls_hello import CutOff, Hello
from hello_kit import INITIALS

READERS: list[tuple[Callable[[bytes], object], type]] = [
    (tls_hello.from_records, Hello), (tls_hello.from_message, Hello), (quic_initial.crypto, Crypto),
]  # fmt: skip


@pytest.mark.parametrize(("read", "kind"), READERS)
@given(raw=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(read: Callable[[bytes], object], kind: type, raw: bytes) -> None:
    with suppress(CutOff, ValueError):
        assert isinstance(read(raw), kind)


@pytest.mark.parametrize("read", [tls_hello.from_message, lambda raw: tls_hello.from_records(b"\x16\x03\x01\x01\x2c" + raw)])
@given(kind=st.sampled_from([1, 2]), body=st.binary(min_size=38, max_size=290))
def test_any_body_of_a_hello_is_read_or_refused(read: Callable[[bytes], object], kind: int, body: bytes) -> None:
    with suppress(CutOff, ValueError):
        assert isinstance(read(bytes((kind,)) + len(body).to_bytes(3) + body), Hello)


@given(at=st.integers(0, len(INITIALS["1"]) - 1), octet=st.integers(1, 255), cut=st.integers(0, 1200))
def test_a_packet_of_quic_that_is_damaged_or_cut_is_refused(at: int, octet: int, cut: int) -> None:
    damaged = bytearray(INITIALS["1"])
    damaged[at] ^= octet
    with pytest.raises((CutOff, ValueError)):
        quic_initial.crypto(bytes(damaged))
    with suppress(CutOff, ValueError):
        quic_initial.crypto(INITIALS["1"][:cut])
        assert cut == len(INITIALS["1"])
