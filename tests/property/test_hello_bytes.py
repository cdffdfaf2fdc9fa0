# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes come: a hello, that more is needed, or that it is none; and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgauge.agent import quic_initial, tls_hello
from flowgauge.agent.tls_hello import CutOff
from hello_kit import INITIALS

READERS: list[Callable[[bytes], object]] = [tls_hello.from_records, tls_hello.from_message, quic_initial.crypto]


@pytest.mark.parametrize("read", READERS)
@given(raw=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(read: Callable[[bytes], object], raw: bytes) -> None:
    with suppress(CutOff, ValueError):
        read(raw)


@pytest.mark.parametrize("read", [tls_hello.from_message, lambda raw: tls_hello.from_records(b"\x16\x03\x01\x01\x2c" + raw)])
@given(kind=st.sampled_from([1, 2]), body=st.binary(min_size=38, max_size=290))
def test_any_body_of_a_hello_is_read_or_refused(read: Callable[[bytes], object], kind: int, body: bytes) -> None:
    with suppress(CutOff, ValueError):
        read(bytes((kind,)) + len(body).to_bytes(3) + body)


@given(at=st.integers(0, 287), octet=st.integers(0, 255), cut=st.integers(0, 288))
def test_a_damaged_packet_of_quic_is_read_or_refused(at: int, octet: int, cut: int) -> None:
    damaged = bytearray(INITIALS["1"])
    damaged[at] = octet
    with suppress(CutOff, ValueError):
        quic_initial.crypto(bytes(damaged[:cut]))
