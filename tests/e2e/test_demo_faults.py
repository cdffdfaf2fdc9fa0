# SPDX-License-Identifier: Apache-2.0
"""The demo under load: the user's click, kill -9 of each part, kill -9 of the demo itself."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo_kit import READY_WITHIN_S, Demo

pytestmark = [
    pytest.mark.root, pytest.mark.bpf, pytest.mark.slow,
    pytest.mark.tool("ip", "nft", "dnsmasq", "initdb", "bpftool", "curl"),
]  # fmt: skip

BACK_WITHIN_S = 120.0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("demo"))
    try:
        running.await_running()
        running.wait_for(lambda: "first named flow" in running.said(), "a named flow", READY_WITHIN_S)
        yield running
    finally:
        running.close()


def _acknowledged(demo: Demo) -> int:
    """Rows that collectors said are stored, as they exposed it until now."""
    return sum(entry["value"] for entry in _ledger(demo) if entry["name"] == "store_rows_written")


def _ledger(demo: Demo) -> list[dict[str, int]]:
    components = demo.api("ledger", since="1h")["components"]
    return [counter for component in components for counter in component["counters"]]


def _found(demo: Demo) -> int:
    return int(demo.api("flows", since="1h", limit="1", duplicates="true")["matched"])


def _newest_ms(demo: Demo, filter_text: str = "") -> int:
    rows = demo.api("flows", since="1h", limit="1", filter=filter_text, duplicates="true")["rows"]
    return int(rows[0]["time_end_ns"]) // 1_000_000 if rows else 0


def _fresh(demo: Demo, since_ms: int, filter_text: str = "") -> bool:
    """Whether a flow that ended after ``since_ms`` is stored; a part that is away gives no answer."""
    try:
        return _newest_ms(demo, filter_text) > since_ms
    except OSError:
        return False


def test_the_users_curl_is_a_named_flow_soon(demo: Demo) -> None:
    """Plain curl at the port on loopback; `flowgauge flows` then shows an outside client at Django, through the Service."""
    clicked_ns = time.time_ns()
    done = subprocess.run(["curl", "-sS", demo.instance()["extra"]["click_url"]], capture_output=True, text=True, check=True)
    assert "flow-demo" in done.stdout
    asked = "src_subnet = 'EXT:you' and dst_owner = django-psql-example and dst_port = 8080"
    demo.wait_for(lambda: _fresh(demo, clicked_ns // 1_000_000, asked), "the click's flow", BACK_WITHIN_S)
    shown = demo.run("flows", asked, "--since", "1h", "-o", "jsonl")
    assert shown.returncode == 0, shown.stderr
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    row = next(row for row in rows if row["time_end_ns"] >= clicked_ns)
    assert (row["dst_namespace"], row["dst_kind"], row["dst_service"]) == ("flow-demo", "Pod", "django-psql-example")


def test_a_second_demo_says_that_one_is_running(demo: Demo) -> None:
    second = demo.run("demo", "--for", "10s")
    assert second.returncode == 2
    assert f"already running (process {demo.process.pid}" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("verb", "words", "then_from"),
    [
        ("collect", (), ""),
        ("store", (), ""),
        ("agent", ("--node node-a",), "node_reporter = node-a"),
    ],
)
def test_a_killed_part_comes_back_and_nothing_acknowledged_is_missing(
    demo: Demo, verb: str, words: tuple[str, ...], then_from: str
) -> None:
    """The counter exposed before the kill is at most the rows found after; then flows go on."""
    pid = demo.part(verb, *words)
    assert pid, f"no process of {verb} is known"
    acknowledged = _acknowledged(demo)
    assert acknowledged > 0
    killed_ms = time.time_ns() // 1_000_000
    subprocess.run(["kill", "-9", str(pid)], check=True)
    demo.wait_for(lambda: demo.part(verb, *words) not in (0, pid), f"{verb} restarted", BACK_WITHIN_S)
    demo.wait_for(lambda: _fresh(demo, killed_ms + 1000, then_from), "new flows", BACK_WITHIN_S)
    assert _found(demo) >= acknowledged


def test_after_all_that_it_still_ends_in_order_and_leaves_nothing(demo: Demo) -> None:
    made = demo.made()
    status = demo.stop(signal.SIGINT)
    assert status in (0, 1), "a killed agent took flows with it, so that exact checks may fail, but it must judge"
    assert "no name is wrong" in demo.said()
    assert made.left() == []
    assert sorted(path.name for path in demo.state.iterdir()) == ["output"]


def test_the_next_run_cleans_up_after_a_killed_demo(tmp_path: Path) -> None:
    killed = Demo(tmp_path)
    try:
        killed.await_running()
        made = killed.made()
        killed.stop(signal.SIGKILL)
        assert made.left() != [], "otherwise there is nothing to clean up"
        following = Demo(tmp_path, "--for", "10s")
        try:
            following.await_running()
            assert "removed what 1 killed run had left" in following.said()
            assert made.left() == []
        finally:
            following.close()
    finally:
        killed.close()
