# SPDX-License-Identifier: Apache-2.0
"""``flowgauge sockets`` as people call it: a real process, a real console, a real store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from console_kit import Console, running_console
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
