# SPDX-License-Identifier: Apache-2.0
"""The eBPF object in parts: one set of maps for all of them, the reason of a refusal, and nothing left behind."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ebpf_kit import loaded
from flowgauge.ebpf import parts as parts_module
from flowgauge.ebpf.kernel_types import KERNEL_BTF
from flowgauge.ebpf.libbpf import LoadError
from flowgauge.ebpf.parts import OBJECT, Parts
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.errors import EnvironmentProblem

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


def test_signals_that_come_all_the_time_do_not_keep_programs_from_being_loaded() -> None:
    came: list[int] = []
    done, before = threading.Event(), signal.signal(signal.SIGUSR1, lambda number, _: came.append(number))
    ours = threading.get_ident()

    def disturb() -> None:
        while not done.wait(0.001):
            signal.pthread_kill(ours, signal.SIGUSR1)

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    try:
        with loaded(max_flows=64, rtt=True, drops=True, dns=True, tls=True, server_time=True) as program:
            assert program.features()["dns"] == "on"
    finally:
        done.set()
        disturbing.join()
        signal.signal(signal.SIGUSR1, before)
    assert came


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


def test_a_kernel_is_not_asked_again_for_what_it_will_always_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that waits for its program is tried every few seconds, and each load takes the processor for 0.2 s."""
    types = KERNEL_BTF.open("rb").read()
    (tmp_path / "btf").write_bytes(types.replace(b"\0srtt_us\0", b"\0srtt_u#\0"))
    parts = Parts(replace(OPTIONS, btf=tmp_path / "btf"), FIRST)
    parts.load()
    try:
        with pytest.raises(LoadError) as refused:
            parts.add(frozenset({"on_tcp_receive"}))
        with monkeypatch.context() as patched:
            patched.setattr(parts_module, "_image", lambda: pytest.fail("loaded again"))
            with pytest.raises(LoadError) as again:
                parts.add(FIRST | {"on_tcp_receive"})
        assert again.value.log == refused.value.log
    finally:
        parts.close()


@pytest.fixture
def read_anew() -> Iterator[None]:
    """The file is read once a process."""
    parts_module._image.cache_clear()
    yield
    parts_module._image.cache_clear()


def test_an_update_of_the_file_does_not_matter_to_this_process(
    read_anew: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of another version would use the maps of this one, and be told what this one's are told."""
    file = Path(shutil.copy(OBJECT, tmp_path))
    monkeypatch.setattr(parts_module, "OBJECT", file)
    parts, again = Parts(OPTIONS, FIRST), Parts(OPTIONS, FIRST)
    parts.load()
    try:
        file.write_bytes(b"another version")
        parts.add(frozenset({"on_drop"}))
        file.unlink()
        parts.add(SIGNALS)
        assert parts.programs() == FIRST | SIGNALS
        again.load()
    finally:
        parts.close()
        again.close()


def test_what_is_loaded_is_had_while_others_are_being_loaded() -> None:
    """A device that appears while signals are loaded, which takes some 0.1 s each, is hooked at once."""
    parts = Parts(OPTIONS, FIRST)
    parts.load()
    try:
        with parts._lock:
            asks = threading.Thread(target=parts.add, args=(FIRST,), daemon=True)
            asks.start()
            asks.join(60)
            assert not asks.is_alive()
    finally:
        parts.close()


def test_an_object_that_cannot_be_read_is_named(read_anew: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "OBJECT", tmp_path)
    parts = Parts(OPTIONS, FIRST)
    parts.begin()
    with pytest.raises(EnvironmentProblem, match="cannot be read: Is a directory"):
        parts.load()
    parts.close()
