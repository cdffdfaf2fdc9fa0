# SPDX-License-Identifier: Apache-2.0
"""The eBPF object in parts: one set of maps for all of them, the reason of a refusal, and nothing left behind."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from flowgauge.ebpf.kernel_types import KERNEL_BTF
from flowgauge.ebpf.libbpf import LoadError
from flowgauge.ebpf.parts import Parts
from flowgauge.ebpf.program_options import ProgramOptions

pytestmark = [pytest.mark.root, pytest.mark.bpf]

FIRST, SIGNALS = frozenset({"read_clock"}), frozenset({"on_retransmit", "on_drop"})
OPTIONS = ProgramOptions(max_flows=64, rtt=True, drops=True)


def ids(kind: str) -> list[int]:
    """Ids of the maps or programs that this process holds, by its descriptors."""
    found: list[int] = []
    for one in Path("/proc/self/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # the listing itself
            found += [int(line.split()[1]) for line in one.read_text().splitlines() if line.startswith(f"{kind}_id:")]
    return found


def test_a_later_part_uses_the_maps_of_the_first() -> None:
    maps_before, programs_before = set(ids("map")), set(ids("prog"))
    parts = Parts(OPTIONS, FIRST)
    parts.load()
    try:
        maps = set(ids("map")) - maps_before
        parts.add(SIGNALS)
        parts.add(SIGNALS | FIRST)
        assert set(ids("map")) - maps_before == maps
        assert len(set(ids("prog")) - programs_before) == 3
        assert parts.programs() == FIRST | SIGNALS
    finally:
        parts.close()
    assert not set(ids("map")) - maps_before
    assert not set(ids("prog")) - programs_before


def test_a_refused_part_says_why_and_leaves_the_others(tmp_path: Path) -> None:
    types = KERNEL_BTF.open("rb").read()
    (tmp_path / "btf").write_bytes(types.replace(b"\0srtt_us\0", b"\0srtt_u#\0"))
    parts = Parts(replace(OPTIONS, btf=tmp_path / "btf"), FIRST)
    parts.load()
    try:
        before = sorted(ids("map"))
        with pytest.raises(LoadError) as refused:
            parts.add(SIGNALS | {"on_tcp_receive"})
        assert "on_tcp_receive" in refused.value.log
        assert parts.programs() == FIRST
        assert sorted(ids("map")) == before
        parts.add(SIGNALS)
        assert parts.program_fd("on_drop") >= 0
    finally:
        parts.close()


def test_what_is_closed_loads_no_more() -> None:
    parts = Parts(OPTIONS, FIRST)
    with pytest.raises(OSError, match="not loaded"):
        parts.add(SIGNALS)
    parts.load()
    parts.close()
    parts.close()
    with pytest.raises(OSError, match="not loaded"):
        parts.add(SIGNALS)
    with pytest.raises(OSError, match="not loaded"):
        parts.program_fd("read_clock")
