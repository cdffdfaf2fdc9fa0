# SPDX-License-Identifier: Apache-2.0
"""For the collector's benchmarks: a sender of its own process, a collector as it is, and what each process uses.

The sender repeats a million flows or fewer with sequence numbers that go on, from an address for each of its exporters, and
counts what it could not send. The collector is ``flowgauge collect`` with its receive processes; without a store a program
takes its place that keeps nothing.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flowgauge.run.part import free_port, secret_pipe
from flowgauge.runtime.linux import OutgoingMessages

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from store_kit import SECRET, StoreProcess

TICKS = os.sysconf("SC_CLK_TCK")
BATCH = 64
SAMPLE_S = 0.25
_SEQUENCE = 8
"""Offset of the sequence number in an IPFIX message (RFC 7011 §3.1)."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the sender has done: flows and datagrams sent, seconds, CPU seconds."""

    flows: int
    datagrams: int
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Message:
    """An IPFIX message, its data records, and how many of them are flows."""

    payload: bytes
    records: int = 0
    flows: int = 0


class Sender:
    """Sends from a forked process; made before there are threads.

    Args:
        by_exporter: the messages of each exporter.
    """

    def __init__(self, by_exporter: Sequence[Sequence[Message]]) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs, by_exporter), daemon=True).start()

    def send(self, port: int, *, flows: int, per_s: float) -> None:
        """Begins to send that many flows, at so many a second."""
        self._pipe.send((port, flows, per_s))

    def send_once(self, port: int, *, per_s: float) -> None:
        """Begins to send every message once, at so many a second."""
        self._pipe.send((port, 0, per_s))

    def told(self) -> Told:
        """Waits for the end."""
        told: Told = self._pipe.recv()
        return told


class _Exporter:
    """One exporter's messages in memory, as rows, and its socket."""

    def __init__(self, number: int, port: int, messages: Sequence[Message]) -> None:
        self._flows = np.array([message.flows for message in messages])
        self._rows = np.zeros((len(messages), max(len(message.payload) for message in messages)), np.uint8)
        for row, message in enumerate(messages):
            self._rows[row, : len(message.payload)] = np.frombuffer(message.payload, np.uint8)
        self._sequence = np.ndarray((len(messages),), ">u4", self._rows.data, _SEQUENCE, (self._rows.strides[0],))
        self._turn = sum(message.records for message in messages)
        self._outgoing = OutgoingMessages(len(messages))
        places = np.frombuffer(self._outgoing.places, np.uint64).reshape(-1, 2)  # type: ignore[call-overload]
        places[:, 0] = self._rows.ctypes.data + np.arange(len(messages)) * self._rows.strides[0]
        places[:, 1] = [len(message.payload) for message in messages]
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((f"127.1.{number // 250}.{number % 250 + 1}", 0))
        self._sock.connect(("127.0.0.1", port))
        self._at = 0

    def send(self, count: int) -> tuple[int, int]:
        """The next messages, at most ``count``: (datagrams, flows)."""
        stop = min(self._at + count, len(self._flows))
        sent = self._outgoing.send(self._sock.fileno(), self._at, stop)
        flows = int(self._flows[self._at : self._at + sent].sum())
        self._at += sent
        if self._at == len(self._flows):
            self._at = 0
            self._sequence += np.uint32(self._turn)
        return sent, flows


def _serve(pipe: Any, by_exporter: Sequence[Sequence[Message]]) -> None:
    while True:
        port, flows, per_s = pipe.recv()
        exporters = [_Exporter(number, port, messages) for number, messages in enumerate(by_exporter)]
        pipe.send(_send(exporters, flows, per_s) if flows else _send_once(exporters, per_s))
        del exporters  # with their sockets, before the next ones are opened


def _send(exporters: Sequence[_Exporter], wanted: int, per_s: float) -> Told:
    began, cpu, flows, datagrams, turn = time.monotonic(), time.process_time(), 0, 0, 0
    while flows < wanted:
        sent, records = exporters[turn % len(exporters)].send(BATCH)
        datagrams, flows, turn = datagrams + sent, flows + records, turn + 1
        early_s = began + flows / per_s - time.monotonic()
        if early_s > 0:
            time.sleep(early_s)
    return Told(flows, datagrams, time.monotonic() - began, time.process_time() - cpu)


def _send_once(exporters: Sequence[_Exporter], per_s: float) -> Told:
    began, cpu, datagrams = time.monotonic(), time.process_time(), 0
    for exporter in exporters:
        sent, _ = exporter.send(BATCH)
        datagrams += sent
        time.sleep(max(0.0, began + datagrams / per_s - time.monotonic()))
    return Told(0, datagrams, time.monotonic() - began, time.process_time() - cpu)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process (proc(5), fields utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pss_mib(pid: int) -> float:
    """Memory of a process, what it shares with others in part (proc(5), smaps_rollup)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


@dataclass(slots=True)
class Used:
    """CPU seconds and the memory at most (MiB, PSS) of each process, by what it is."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)

    def total(self, *besides: str) -> float:
        """CPU seconds of all but some."""
        return sum(spent for name, spent in self.cpu_s.items() if name not in besides)


class Collector:
    """``flowgauge collect`` in ``folder``; ``store`` None: nothing is kept."""

    def __init__(self, folder: Path, store: StoreProcess | None, *, objects: Path | None, receive_processes: str) -> None:
        self.http, self.port = free_port(), free_port(socket.SOCK_DGRAM)
        document = folder / "flowcollector.json"
        document.write_text(json.dumps({"spec": {"collector": {
            "receiveProcesses": receive_processes if receive_processes == "auto" else int(receive_processes),
            "receiveBufferBytes": 64 << 20}, "logLevels": {"collector": "warning"}}}))  # fmt: skip
        program = ["-m", "flowgauge.cli.main"] if store else [str(Path(__file__).parent / "without_store.py")]
        descriptor = secret_pipe(SECRET)
        argv = [sys.executable, *program, "collect", "-f", str(document), "--listen", f"127.0.0.1:{self.port}",
                "--store-url", store.url if store else "http://127.0.0.1:1", "--store-secret-fd", str(descriptor),
                "--http-port", str(self.http), "--data-dir", str(folder / "data")]  # fmt: skip
        argv += ["--kubernetes-objects", str(objects)] if objects else []
        self._process = subprocess.Popen(argv, pass_fds=(descriptor,))
        os.close(descriptor)
        self.spool = folder / "data" / "spool"
        self._store = store
        self._before: dict[str, float] = {}
        self.used = Used()
        self._stopping = threading.Event()
        self._until_ready()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def _until_ready(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=5).close()
            except OSError:
                assert self._process.poll() is None, "the collector ended"
                time.sleep(0.1)
            else:
                return
        raise AssertionError("the collector was not ready")

    def pids(self) -> dict[str, int]:
        """Its processes, and the store's."""
        children: list[int] = []
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            with contextlib.suppress(OSError):  # a thread that has ended
                children += map(int, task.joinpath("children").read_text().split())
        found = {f"receive {number}": pid for number, pid in enumerate(sorted(children))}
        found["names, dedup" if found else "collector"] = self._process.pid
        if self._store is not None:
            found["store"] = self._store.pid
        return found

    def begin(self) -> None:
        """CPU counts from now on."""
        self._before = {name: cpu_s(pid) for name, pid in self.pids().items()}
        self._sampler.start()

    def measured(self) -> Used:
        """What was used since ``begin``."""
        self.used.cpu_s = {name: cpu_s(pid) - self._before.get(name, 0.0) for name, pid in self.pids().items()}
        return self.used

    def _sample(self) -> None:
        while not self._stopping.wait(SAMPLE_S):
            for name, pid in self.pids().items():
                self.used.peak_mib[name] = max(self.used.peak_mib.get(name, 0.0), pss_mib(pid))

    def ledger(self) -> dict[str, int]:
        """Its counters."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/api/v1/ledger", timeout=60) as answer:
            return dict(json.load(answer)["components"][0]["counters"])

    def until(self, name: str, value: int, timeout_s: float) -> bool:
        """Whether a counter reaches a value in time."""
        deadline = time.monotonic() + timeout_s
        while self.ledger().get(name, 0) < value:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def spool_bytes(self) -> int:
        """On disk now."""
        return sum(path.stat().st_size for path in self.spool.glob("*/*.seg"))

    def stop(self) -> None:
        """As a supervisor does."""
        self._stopping.set()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


def stamped(messages: Sequence[Any], *, flows: bool, first: int) -> list[Message]:
    """An agent's messages with their sequence numbers from ``first`` on; ``flows``: whether their records are flows."""
    found: list[Message] = []
    for message in messages:
        payload = bytearray(message.payload)
        struct.pack_into("!I", payload, _SEQUENCE, first)
        first += message.records
        found.append(Message(bytes(payload), message.records, message.records if flows else 0))
    return found
