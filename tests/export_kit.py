# SPDX-License-Identifier: Apache-2.0
"""For tests: flows as the store has them, and receivers of exports that keep every byte they got."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from agent_kit import until
from flowgauge.export.flows import FlowExporter
from flowgauge.export.settings import ExportSettings
from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.column import Kind
from flowgauge.schema.columns import stored_columns
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoded, Decoder
from store_kit import now_ms
from wire_kit import random_column

WINDOW_BYTES = 50_000
"""More than a receiver's machine takes whose program does not read, with the smallest buffer of these tests."""


def stored(rows: int, seed: int = 1) -> FlowBatch:
    """Random normalised flows, IPv4 and IPv6, with a value or none in every column that is stored by default."""
    random = np.random.default_rng(seed)
    v6 = random.random(rows) < 0.3
    columns: dict[str, np.ndarray | Names] = {}
    for column in stored_columns():
        name = column.physical
        columns[name] = _addresses(random, v6) if column.kind is Kind.ADDR else random_column(name, rows, random)
    proto = random.choice(np.array([6, 17, 1, 58, 47], np.uint8), rows)
    icmp = np.isin(proto, (1, 58))
    columns |= {
        "proto": proto, "duplicate_of": np.zeros(rows, np.uint8), "time_end_ms": now_ms() - random.integers(0, 60_000, rows),
        "duration_ms": random.integers(0, 20_000, rows).astype(np.uint32),
        "icmp_type": np.where(icmp, random.integers(0, 256, rows), -1).astype(np.int16),
        "icmp_code": np.where(icmp, random.integers(0, 256, rows), -1).astype(np.int16),
        "rtt_min_us": random.integers(0, 4_000_000, rows).astype(np.uint32),
    }  # fmt: skip
    return FlowBatch(columns)


def _addresses(random: np.random.Generator, v6: np.ndarray) -> np.ndarray:
    narrow = from_texts([f"10.{a}.{b}.{c}" for a, b, c in random.integers(1, 255, (len(v6), 3))])
    wide = from_texts([f"2001:db8::{a:x}:{b:x}" for a, b in random.integers(1, 1 << 16, (len(v6), 2))])
    return np.where(v6[:, None], wide, narrow)


def octets(batch: FlowBatch) -> list[int]:
    """Their bytes, which tell flows apart, in order."""
    found: list[int] = np.sort(batch.array("bytes")).tolist()
    return found


def decoded(*payloads: bytes) -> Decoded:
    """What our decoder makes of them."""
    return Decoder().decode(Datagrams.from_payloads(list(payloads)))


def exported(batch: FlowBatch, settings: ExportSettings) -> FlowExporter:
    """The exporter after it has sent ``batch`` and ended."""
    exporter = FlowExporter(settings)
    try:
        exporter.start()
        exporter.send(batch)
        exporter.finish()
    finally:
        exporter.close()
    return exporter


class UdpReceiver:
    """Keeps datagrams."""

    def __init__(self, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind(("127.0.0.1", port))
        self.socket.settimeout(0.2)
        self.port: int = self.socket.getsockname()[1]
        self.payloads: list[bytes] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self.payloads.append(self.socket.recv(65535))
            except TimeoutError:
                if self._stop.is_set():
                    return

    def close(self) -> list[bytes]:
        """The datagrams, once no more come."""
        self._stop.set()
        self._thread.join()
        self.socket.close()
        return self.payloads


class StreamReceiver:
    """Keeps the IPFIX messages of each connection; ``stop_after`` messages the first connection is cut off."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, stop_after: int = 0, receive_buffer: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.port: int = self._listener.getsockname()[1]
        self.sessions: list[list[bytes]] = []
        self.refused: list[str] = []
        self._tls, self._stop_after = tls, stop_after
        self._knock: tuple[str, int] | None = None
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            connection, peer = self._listener.accept()
            if peer == self._knock:
                connection.close()
                return
            try:
                self._read(self._tls.wrap_socket(connection, server_side=True) if self._tls else connection)
            except (ssl.SSLError, ConnectionError) as error:
                self.refused.append(str(error))
            connection.close()

    def _read(self, connection: socket.socket) -> None:
        messages: list[bytes] = []
        self.sessions.append(messages)
        with connection, connection.makefile("rb") as stream:
            while head := stream.read(16):
                messages.append(head + stream.read(struct.unpack_from("!H", head, 2)[0] - 16))
                if len(messages) == self._stop_after and len(self.sessions) == 1:
                    until(lambda: _under_way(connection) > WINDOW_BYTES, "more is under way")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return

    def close(self) -> None:
        """Listens no more, once it has read all connections that were made before."""
        with socket.socket() as knock:
            knock.bind(("127.0.0.1", 0))
            self._knock = knock.getsockname()
            knock.connect(("127.0.0.1", self.port))
            self._thread.join(60)
        self._listener.close()
        assert not self._thread.is_alive(), "somebody is connected still"


def _under_way(connection: socket.socket) -> int:
    """Bytes that the other end has written and that did not come (proc(5), net/tcp: tx_queue:rx_queue)."""
    ports = [f":{end[1]:04X}" for end in (connection.getpeername(), connection.getsockname())]
    lines = [line.split() for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()]
    return sum(int(line[4].partition(":")[0], 16) for line in lines if [one[-5:] for one in line[1:3]] == ports)


@contextlib.contextmanager
def certificates(folder: Path) -> Iterator[Callable[[str], Path]]:
    """Makes an authority (``ca.pem``) in ``folder``, and certificates with their keys, in one file, of names."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    def certificate(name: str) -> Path:
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        (folder / "names").write_text(f"subjectAltName=DNS:{name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-out", f"{name}.crt", "-days",
                "2", "-extfile", "names", "-CAcreateserial")  # fmt: skip
        whole = folder / f"{name}.pem"
        whole.write_text((folder / f"{name}.crt").read_text() + (folder / f"{name}.key").read_text())
        return whole

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=tests", "-days",
            "2", "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
    yield certificate
