# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes come as an answer of DNS: addresses, or that it is none; in time that its length bounds."""

from __future__ import annotations

import struct
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from flowgauge.agent import dns_answer

_HEAD = st.builds(lambda count: struct.pack("!6H", 1, 0x8180, 1, count, 0, 0), st.integers(0, 0xFFFF))
_NAME = st.lists(st.sampled_from([b"\xc0\x0c", b"\xc0\x20", b"\x01a", b"\x03www", b"\0", b"\x3f"]), max_size=6).map(b"".join)
_RECORD = st.builds(
    lambda owner, kind, length, data: owner + struct.pack("!HHIH", kind, 1, 60, length) + data,
    _NAME, st.sampled_from([1, 5, 28, 41]), st.integers(0, 20), st.binary(max_size=20),
)  # fmt: skip


@given(raw=st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with suppress(ValueError):
        dns_answer.resolved(raw)


@given(head=_HEAD, name=_NAME, records=st.lists(_RECORD, max_size=8))
def test_any_records_are_read_or_refused(head: bytes, name: bytes, records: list[bytes]) -> None:
    with suppress(ValueError):
        found = dns_answer.resolved(head + name + b"\0\1\0\1" + b"".join(records))
        assert all(len(address) == 16 for address in found.addresses)
