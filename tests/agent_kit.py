# SPDX-License-Identifier: Apache-2.0
"""For tests: an agent as a real process, and a collector that decodes what it sends."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flowgauge.flow import addresses
from flowgauge.flow.batch import FlowBatch
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Decoded, OptionsData
from flowgauge.wire.decoder import Decoder

WITHIN_S = 60.0
_SO_RCVBUFFORCE = 33


def until(condition: Callable[[], Any], what: str) -> Any:
    """Waits for ``condition`` to be true, and returns what it gave."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {WITHIN_S} s: {what}")


class Collector:
    """A UDP socket on loopback, read by a thread, and by whoever asks: what was sent before the question is in the answer."""

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self._lock = threading.Lock()
        self._payloads: list[bytes] = []
        self._closed = False
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        while not self._closed:
            select.select([self._socket], [], [])
            self._take()

    def _take(self) -> None:
        """All that waits in the socket."""
        with self._lock, suppress(BlockingIOError):
            while not self._closed and (payload := self._socket.recv(65_536, socket.MSG_DONTWAIT)):
                self._payloads.append(payload)
            self._closed = True

    def close(self) -> None:
        """Ends the thread (by an empty datagram) and closes the socket."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock:
            knock.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(60)
        assert not self._thread.is_alive()
        self._socket.close()

    def decoded(self) -> tuple[FlowBatch, dict[str, int], list[dict[str, Any]]]:
        """Everything received until now: flows, the decoder's counts, options records."""
        found = self._decode()
        return found.flows, dict(found.counts), [dict(record) for data in found.options for record in data.records]

    def options(self) -> tuple[OptionsData, ...]:
        """All options data received until now."""
        return self._decode().options

    def _decode(self) -> Decoded:
        self._take()
        with self._lock:
            payloads = list(self._payloads)
        return Decoder().decode(Datagrams.from_payloads(payloads))

    def rows(self) -> list[dict[str, Any]]:
        """Everything received until now, flow by flow, with addresses as text."""
        flows, _, _ = self.decoded()
        return [_row(flows, at) for at in range(len(flows))]

    def counters(self) -> dict[str, int]:
        """The last ledger counters that the agent told."""
        told = [record for record in self.decoded()[2] if "kernel_packets_seen" in record]
        return {name: value for name, value in told[-1].items() if isinstance(value, int)} if told else {}


_PLAIN = ("src_port", "dst_port", "proto", "packets", "bytes", "tcp_flags", "sampling_rate", "in_if", "out_if", "obs_domain_id",
          "local_ends", "flow_direction", "post_nat_dst_port", "time_start_ns", "time_end_ns")  # fmt: skip


def _row(flows: FlowBatch, at: int) -> dict[str, Any]:
    texts = {name: addresses.to_text(flows.array(name)[at].tobytes()) for name in ("src_addr", "dst_addr", "post_nat_dst_addr")}
    return texts | {name: int(flows.array(name)[at]) for name in _PLAIN}


class AgentProcess:
    """``flowgauge agent`` with ``options``, started by the command ``prefix``; its log is in ``log()``."""

    def __init__(self, options: Sequence[str], folder: Path, prefix: Sequence[str] = ()) -> None:
        self._log_path = folder / f"agent-{time.monotonic_ns()}.log"
        command = [*prefix, sys.executable, "-m", "flowgauge.cli.main", "agent", *options]
        with self._log_path.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PYTHONUNBUFFERED": "1"})

    def log(self) -> list[dict[str, Any]]:
        """The log's events until now; a line that is no JSON as {"event": line}."""
        lines = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return [json.loads(line) if line.startswith("{") else {"event": line} for line in lines]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's events of one name."""
        return [event for event in self.log() if event["event"] == name]

    def ready(self) -> dict[str, Any]:
        """Waits until the agent is ready; what it said then."""

        def said() -> dict[str, Any] | None:
            assert self.process.poll() is None, self.log()
            return next(iter(self.events("agent_ready")), None)

        answer: dict[str, Any] = until(said, "agent_ready")
        return answer

    def get(self, path: str) -> str:
        """What the agent's HTTP answers."""
        url = self.ready()["http"] + path
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - loopback
            return str(answer.read().decode())

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """Asks it to end; its exit status."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(WITHIN_S)


@contextmanager
def agent(options: Sequence[str], folder: Path, prefix: Sequence[str] = ()) -> Iterator[AgentProcess]:
    """A running agent, ready."""
    running = AgentProcess(options, folder, prefix)
    try:
        running.ready()
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait()


@contextmanager
def collector(port: int = 0) -> Iterator[Collector]:
    """A running collector."""
    listening = Collector(port)
    try:
        yield listening
    finally:
        listening.close()
