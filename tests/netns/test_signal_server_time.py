# SPDX-License-Identifier: Apache-2.0
"""How long a server took, against what a real PostgreSQL logs of its own statements."""

from __future__ import annotations

import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from flowgauge.demo import database
from flowgauge.demo.scene import kernel
from flowgauge.demo.scene.processes import User
from flowgauge.runtime import linux
from node_kit import A, B, Observed, TwoPods, observed, settled, two_pods
from signal_kit import one, told

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.slow]

SERVICE = "10.96.0.54"
RULES = f"""
table ip svc {{
  chain translate {{
    type nat hook prerouting priority dstnat;
    ip daddr {SERVICE} tcp dport 5432 dnat to {B}:5432
  }}
}}
"""
_CONFIG = """
listen_addresses = '*'
unix_socket_directories = ''
dynamic_shared_memory_type = mmap
fsync = off
log_min_duration_statement = 0
"""


@dataclass(slots=True)
class Postgres:
    """A server in pod b that logs how long each statement took."""

    node: TwoPods
    log: Path

    @contextmanager
    def client(self, address: str = B) -> Iterator[psycopg.Connection[Any]]:
        """A session from pod a."""
        with linux.in_netns(self.node.netns["a"]):
            session = psycopg.connect(host=address, user="postgres", dbname="postgres", autocommit=True, connect_timeout=60)
        try:
            yield session
        finally:
            session.close()

    def durations_s(self, statement: str) -> list[float]:
        """What the server says of the statements that contain ``statement``."""
        found = re.findall(r"duration: ([\d.]+) ms  statement: (.*)", self.log.read_text())
        return [float(ms) / 1000 for ms, text in found if statement in text]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="fgt-pg-"))
    programs = database.programs()
    assert programs is not None, "PostgreSQL is not installed"
    user = User.named("postgres")
    folder.chmod(0o755)
    data, log = folder / "data", folder / "log"
    data.mkdir(mode=0o700)
    shutil.chown(data, user.uid, user.gid)
    initdb = [*user.setpriv(), str(programs / "initdb"), "-D", str(data), "--no-sync", "--locale=C.UTF-8", "--auth=trust"]
    subprocess.run(initdb, check=True, capture_output=True, cwd="/")
    with (data / "postgresql.conf").open("a") as stream:
        stream.write(_CONFIG)
    (data / "pg_hba.conf").write_text("host all all 0.0.0.0/0 trust\n")
    with two_pods() as node, log.open("w") as output:
        kernel.nft(node.node, RULES)
        with linux.in_netns(node.netns["b"]):
            server = subprocess.Popen([*user.setpriv(), str(programs / "postgres"), "-D", str(data)], stderr=output, cwd="/")
        try:
            _listening(node)
            yield Postgres(node, log)
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            server.wait(60)
            shutil.rmtree(folder)


def _listening(node: TwoPods) -> None:
    until = time.monotonic() + 120
    while True:
        with node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client:
            if client.connect_ex((B, 5432)) == 0:
                return
        assert time.monotonic() < until, "PostgreSQL does not listen"
        time.sleep(0.1)


@contextmanager
def timed(postgres: Postgres, **options: Any) -> Iterator[Observed]:
    with observed(postgres.node, server_time=True, **options) as watch:
        yield watch


def ask(session: psycopg.Connection[Any], statement: str) -> float:
    """By the simple protocol: one message, one statement in the server's log; the seconds that the client waited."""
    since = time.monotonic()
    result = session.pgconn.exec_(statement.encode())
    assert not result.error_message, result.error_message
    return time.monotonic() - since


def close_to(measured_ns: int, logged_s: float, waited_s: float) -> bool:
    """Within 10 % or 1 ms, on a busy machine at most what the client waited; and never less than the server itself says."""
    return logged_s - 0.0002 <= measured_ns / 1e9 <= max(logged_s + max(0.1 * logged_s, 0.001), waited_s)


def test_a_querys_time_is_the_one_that_the_server_logs(postgres: Postgres) -> None:
    with timed(postgres) as watch, postgres.client() as session:
        told(watch.program)
        waited = [ask(session, f"SELECT pg_sleep({seconds}) AS plain") for seconds in (0.02, 0.05, 0.12)]
        rows = told(watch.program)
    logged = postgres.durations_s("AS plain")
    there = one(rows, src_addr=A, dst_addr=B, dst_port=5432)
    assert there["server_time_count"] == len(logged) == 3
    assert close_to(there["server_time_min_ns"], min(logged), min(waited))
    assert close_to(there["server_time_avg_ns"], sum(logged) / 3, sum(waited) / 3)
    assert close_to(there["server_time_max_ns"], max(logged), max(waited))
    assert not one(rows, src_addr=B, dst_addr=A, src_port=5432)["server_time_count"]


def test_through_a_service_it_stands_on_the_flow_to_the_service(postgres: Postgres) -> None:
    with timed(postgres) as watch, postgres.client(SERVICE) as session:
        told(watch.program)
        waited = ask(session, "SELECT pg_sleep(0.06) AS by_service")
        rows = told(watch.program)
    there = one(rows, src_addr=A, dst_addr=SERVICE)
    assert there["server_time_count"] == 1
    assert close_to(there["server_time_max_ns"], postgres.durations_s("AS by_service")[0], waited)


def test_a_reply_of_many_packets_counts_once_until_its_first(postgres: Postgres) -> None:
    with timed(postgres) as watch, postgres.client() as session:
        told(watch.program)
        waited = ask(session, "SELECT repeat('x', 3000000) AS large FROM pg_sleep(0.05)")
        rows = told(watch.program)
    there = one(rows, src_addr=A, dst_addr=B)
    assert there["server_time_count"] == 1
    assert 0.05 <= there["server_time_max_ns"] / 1e9 <= waited
    assert one(rows, src_addr=B, dst_addr=A)["bytes"] > 3_000_000


def test_of_requests_sent_together_the_first_reply_is_timed(postgres: Postgres) -> None:
    """What is sent while the server is busy begins the time anew: requests are told apart by replies only."""
    with timed(postgres) as watch, postgres.client() as session:
        told(watch.program)
        session.pgconn.enter_pipeline_mode()
        for _ in range(3):
            session.pgconn.send_query_params(b"SELECT pg_sleep(0.03)", None)
        session.pgconn.pipeline_sync()
        session.pgconn.flush()
        assert select.select([session.pgconn.socket], [], [], 60)[0], "a reply"
        settled(postgres.node)
        rows = told(watch.program)
    there = one(rows, src_addr=A, dst_addr=B)
    assert there["server_time_count"] == 1
    assert there["server_time_max_ns"] >= 30_000_000


def test_a_connection_that_was_there_before_is_known_by_its_ports(postgres: Postgres) -> None:
    with postgres.client() as session, timed(postgres) as watch:
        waited = ask(session, "SELECT pg_sleep(0.05) AS older")
        rows = told(watch.program)
    there = one(rows, src_addr=A, dst_addr=B)
    assert there["server_time_count"] == 1
    assert close_to(there["server_time_max_ns"], postgres.durations_s("AS older")[0], waited)


def test_a_server_that_speaks_first_was_not_asked(postgres: Postgres) -> None:
    node = postgres.node
    with timed(postgres) as watch, node.socket("b", socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("", 2525))
        listener.listen()
        with node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect((B, 2525))
            server, _ = listener.accept()
            with server:
                server.sendall(b"220 ready\r\n")
                assert client.recv(100) == b"220 ready\r\n"
                server.sendall(b"250 still\r\n")
                assert client.recv(100) == b"250 still\r\n"
        rows = told(watch.program)
    assert not [row for row in rows if row["server_time_count"]]


def test_switched_off_it_measures_nothing(postgres: Postgres) -> None:
    with observed(postgres.node) as watch, postgres.client() as session:
        ask(session, "SELECT 1")
        assert watch.program.features()["serverTime"] == "off"
        assert not [row for row in told(watch.program) if row["server_time_count"]]
