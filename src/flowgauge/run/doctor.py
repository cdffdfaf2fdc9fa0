# SPDX-License-Identifier: Apache-2.0
"""Whether this machine has what Flowgauge's parts need, each as one line with its remedy. Changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path

from flowgauge.agent import privileges
from flowgauge.ebpf import libbpf, parts
from flowgauge.errors import EnvironmentProblem
from flowgauge.run.machine import data_dir_of
from flowgauge.runtime import instance

_PORTS = (
    (2055, socket.SOCK_DGRAM, "flows of every protocol come in"),
    (8055, socket.SOCK_STREAM, "console and API"),
    (9055, socket.SOCK_STREAM, "metrics of the collector"),
    (9056, socket.SOCK_STREAM, "metrics of the agent"),
)
_ENOUGH_DISK_BYTES = 1 << 30
_PYTHON = (3, 11)


class Verdict(StrEnum):
    """How one thing is."""

    OK = "ok"
    NOTE = "note"
    """Something is missing that not everybody needs."""
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, what it is like, and what to do about it (empty when nothing)."""

    name: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def findings(chosen_data_dir: Path | None = None) -> list[Finding]:
    """All findings, in the order of a flow's way."""
    return [
        _python(),
        _libbpf(),
        _object(),
        _capabilities(),
        *_ports(),
        _data_folder(chosen_data_dir),
        _shared_memory(),
        _console(),
        _compiler(),
    ]


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info >= _PYTHON:
        return Finding("Python", Verdict.OK, version)
    return Finding("Python", Verdict.FAIL, version, "Python 3.11 or newer is needed")


def _libbpf() -> Finding:
    try:
        return Finding("libbpf", Verdict.OK, f"{libbpf.LIBRARY} {libbpf.version()}")
    except EnvironmentProblem as problem:
        return Finding("libbpf", Verdict.NOTE, str(problem), "agents capture packets instead, without signals")


def _object() -> Finding:
    path = parts.OBJECT
    if path.exists():
        return Finding("eBPF object", Verdict.OK, f"{path.name}, {path.stat().st_size >> 10} KiB")
    return Finding("eBPF object", Verdict.NOTE, f"{path.name} is not built", "make bpf; until then agents capture packets")


def _capabilities() -> Finding:
    lacking = privileges.missing(privileges.effective(), netns=False)
    if not lacking:
        return Finding("capabilities", Verdict.OK, "an agent may load eBPF programs")
    missing = f"{', '.join(lacking)} missing"
    if privileges.may_capture():
        return Finding("capabilities", Verdict.NOTE, missing, "agents capture packets instead, without signals")
    return Finding("capabilities", Verdict.NOTE, missing, "no agent can run from here; the other parts can")


def _ports() -> Iterator[Finding]:
    """A port that our own running instance uses is as it should be."""
    running = instance.find()
    for port, kind, use in _PORTS:
        name = f"port {port}/{'udp' if kind == socket.SOCK_DGRAM else 'tcp'}"
        try:
            _try_port(port, kind)
        except OSError as error:
            if running is not None:
                yield Finding(
                    name, Verdict.OK, f"in use, probably by the {running.kind} that runs here (process {running.pid})"
                )
            else:
                yield Finding(name, Verdict.NOTE, f"{error.strerror}: {use}", "stop what uses it, or give another port")
        else:
            yield Finding(name, Verdict.OK, f"free: {use}")


def _try_port(port: int, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def _data_folder(chosen: Path | None) -> Finding:
    folder = data_dir_of(chosen)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding("data folder", Verdict.FAIL, f"{folder} cannot be written ({there})", "give run and store --data-dir")
    free = shutil.disk_usage(there).free
    detail = f"{folder}, {free / 1e9:.1f} GB free"
    if free < _ENOUGH_DISK_BYTES:
        return Finding("data folder", Verdict.FAIL, detail, "free some space, or give run and store --data-dir elsewhere")
    return Finding("data folder", Verdict.OK, detail)


def _shared_memory() -> Finding:
    place = Path("/dev/shm")  # noqa: S108 - where shared memory is on Linux
    if place.is_dir() and os.access(place, os.W_OK):
        return Finding("shared memory", Verdict.OK, f"{place}, {shutil.disk_usage(place).free / 1e6:.0f} MB free")
    return Finding(
        "shared memory", Verdict.NOTE, f"{place} cannot be written", "the store takes its data folder instead: slower"
    )


def _console() -> Finding:
    if files("flowgauge.console").joinpath("static/app/index.html").is_file():
        return Finding("console", Verdict.OK, "built")
    return Finding("console", Verdict.NOTE, "not built", "make ui; API and command line work without it")


def _compiler() -> Finding:
    return Finding("clang", Verdict.OK, f"{'there' if shutil.which('clang') else 'not there'}, and needed for `make bpf` only")
