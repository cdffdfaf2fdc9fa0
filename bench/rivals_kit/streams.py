# SPDX-License-Identifier: Apache-2.0
"""IPFIX over TCP and TLS, for which no rival listens: how fast one connection is received and decoded."""

from __future__ import annotations

import multiprocessing
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

from rivals_kit.collectors import Flowgauge
from rivals_kit.inputs import Input
from rivals_kit.processes import cpu_s, free_port, peak_mib
from rivals_kit.runs import Run, ended, started, until_quiet

_PIECE_BYTES = 1 << 18


class OverStream(Flowgauge):
    """Ours, listening for connections."""

    name = "flowgauge over TCP"
    transport = "TCP"

    def __init__(self, folder: Path, kind: str) -> None:
        super().__init__(folder, kind)
        self.port = free_port(socket.SOCK_STREAM)

    def command(self) -> list[str]:
        """The stream listener, with a certificate for TLS."""
        files = _certificate(self.folder) if self.transport == "TLS" else []
        command = super().command()
        command[command.index("UDP")] = self.transport
        return [*command, *files]

    def listens(self) -> bool:
        """Whether connections are taken; one is, and ended."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def send(self, given: Input, stop: int) -> None:
        """Sends datagrams as messages of one connection, as fast as they are taken."""
        process = multiprocessing.get_context("fork").Process(target=self._send, args=(given, int(given.start[stop])))
        process.start()
        process.join()

    def _send(self, given: Input, size: int) -> None:
        sock: socket.socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        if self.transport == "TLS":
            context = ssl.create_default_context(cafile=str(self.folder / "certificate"))
            sock = context.wrap_socket(sock, server_hostname="localhost")
        for first in range(0, size, _PIECE_BYTES):
            sock.sendall(given.payloads[first : min(size, first + _PIECE_BYTES)].data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 12):  # until the listener has read everything and closes, too
            pass


class OverTls(OverStream):
    """The same with TLS."""

    name = "flowgauge over TLS"
    transport = "TLS"


def run_stream(kind: type[OverStream], given: Input, flows: int) -> Run:
    """Sends about ``flows`` flows over one connection."""
    stop = given.upto(flows)
    sent = int(given.flows[:stop].sum())
    with tempfile.TemporaryDirectory(prefix="flowgauge-bench-") as folder:
        collector = kind(Path(folder), given.name)
        with started(collector) as process:
            before, begin = cpu_s(process.pid), time.monotonic()
            collector.send(given, stop)
            done_at = until_quiet(process.pid, collector.port)
            memory, spent = peak_mib(process.pid), cpu_s(process.pid) - before
            ended(process, collector)
            return Run(collector.name, given.name, True, 0, sent, collector.flows(), 0, spent, done_at - begin, memory,
                       collector.complaint())  # fmt: skip


def _certificate(folder: Path) -> list[str]:
    """A certificate for localhost that is its own authority, and its key; made by openssl."""
    files = [str(folder / "certificate"), str(folder / "key")]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", files[1]]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", *key, *name, "-days", "2", "-out", files[0]]
    subprocess.run(command, check=True, capture_output=True)
    return files
