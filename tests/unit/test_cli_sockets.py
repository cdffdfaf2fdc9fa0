# SPDX-License-Identifier: Apache-2.0
"""``flowgauge sockets`` as people call it: a real process, a real console, a real store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from console_kit import Console, running_console
from flowgauge.cli import sockets as command
from flowgauge.cli.table import Screen, printed
from flowgauge.console.settings import ConsoleSettings
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.enums import INITIATOR, SOCKET_EVENT, TCP_STATE_FINAL, code
from store_kit import flows, named, running_store

pytestmark = pytest.mark.slow


def events() -> FlowBatch:
    """Two pods of one name: one connects twice and is refused once; and a flow, which is no event."""
    opened = {"packets": 0, "bytes": 0, "initiator": code(INITIATOR, "src"), "socket_event": code(SOCKET_EVENT, "connected")}
    failed = opened | {"socket_event": code(SOCKET_EVENT, "failed"), "tcp_state_final": code(TCP_STATE_FINAL, "refused")}
    return FlowBatch.concat(
        [
            named(flows("shop", 2, **opened), src_kind="Pod", src_name="web-1"),
            named(flows("shop", 1, **failed), src_kind="Pod", src_name="web-2"),
            flows("shop", 1),
        ]
    )


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with running_store(tmp_path_factory.mktemp("store")) as process:
        process.open().write(events(), "events")
        with running_console(ConsoleSettings(process.url, process.secret)) as running:
            yield running


def sockets(console: Console, *arguments: str) -> list[str]:
    argv = [sys.executable, "-m", "flowgauge.cli.main", "sockets", *arguments, "--url", console.url]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_what_is_counted_are_events(console: Console) -> None:
    heading, *rows, footer = sockets(console, "--limit", "2")
    assert heading.split()[:2] == ["time", "event"]
    assert len(rows) == 2
    assert footer.startswith("2 of 3 events (more with --limit) · ")


def test_failed_ones_of_one_pod(console: Console) -> None:
    _, row, footer = sockets(console, "--failed")
    assert "failed: refused" in row
    assert "shop/web-2:40000" in row
    assert footer.startswith("1 event · ")
    assert [json.loads(line)["socket_event"] for line in sockets(console, "--pod", "web-1", "--json")] == ["connected"] * 2
    *_, nothing = sockets(console, "--failed", "--pod", "web-1")
    assert nothing.startswith("no event matches · ")


def test_ends_in_a_narrow_terminal_are_workloads_with_their_whole_port() -> None:
    row = {
        "time_end_ns": 1_700_000_000_000_000_000, "socket_event": "connected", "src_process": "gunicorn", "src_pid": 1234,
        "src_namespace": "flow-demo", "src_name": "django-7c9d8f6b5-x2x4z", "src_owner": "django", "src_port": 36_010,
        "dst_namespace": "flow-demo", "dst_name": "postgresql-0", "dst_owner": "postgresql", "dst_port": 5432,
        "initiator": "src", "handshake_ns": 80_000,
    }  # fmt: skip
    columns = command._columns()
    _, narrow = printed(columns, command._shown([row], 80), Screen(80, colours=False))
    assert "django:36010  →  postgresql:5432" in narrow
    _, wide = printed(columns, command._shown([row], 200), Screen(200, colours=False))
    assert "1234  flow-demo/django-7c9d8f6b5-x2x4z:36010  →  flow-demo/postgresql-0:5432" in wide
