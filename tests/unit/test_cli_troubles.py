# SPDX-License-Identifier: Apache-2.0
"""``flowgauge troubles`` as people and scripts call it: real processes, a real console, a real store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from console_kit import Console, running_console
from flowgauge.cli import troubles as command
from flowgauge.cli.table import Screen
from flowgauge.console.settings import ConsoleSettings
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.enums import TCP_STATE_FINAL, code
from store_kit import flows, named, running_store

pytestmark = pytest.mark.slow  # a store, and a dozen processes

SINCE = "1h"
"""All that the store has, however long the tests take: with that nothing depends on the time."""


def _told(owner: str, port: int, rows: int = 1, **columns: int) -> FlowBatch:
    """Of a workload of flow-demo to postgresql."""
    batch = flows("flow-demo", rows, owners=(owner,), src_port=40_000, dst_port=port, **columns)
    return named(batch, dst_namespace="flow-demo", dst_owner="postgresql", node_reporter="node-c")


def _refused() -> FlowBatch:
    return _told("django", 5433, tcp_state_final=code(TCP_STATE_FINAL, "refused"))


def _stray() -> FlowBatch:
    """One packet of a thousand."""
    late = _told("report", 5432, packets=1000, rtt_avg_us=100, drop_packets=1)
    return late.with_columns({"drop_cause": Names.constant("TCP_RFC7323_PAWS", 1)})


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Django is refused, a packet of another was too late, and other-team reaches the database."""
    crossing = named(flows("other-team", 1, owners=("stock-report",)), dst_namespace="flow-demo", dst_owner="postgresql")
    with running_store(tmp_path_factory.mktemp("store")) as process:
        store = process.open()
        store.write(FlowBatch.concat([_refused(), _stray()]), "troubles")
        store.write(crossing, "crossing")
        with running_console(ConsoleSettings(process.url, process.secret)) as running:
            yield running


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """What agents without eBPF tell: counts alone."""
    with running_store(tmp_path_factory.mktemp("blind")) as process:
        process.open().write(_told("django", 5432, 20), "counts")
        with running_console(ConsoleSettings(process.url, process.secret)) as running:
            yield running


def run(console: Console, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "flowgauge.cli.main", "troubles", *arguments, "--url", console.url, "--since", SINCE]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_it_says_what_goes_wrong_where_to_look_and_who_reaches_into_other_namespaces(console: Console) -> None:
    done = run(console)
    assert (done.returncode, done.stderr) == (0, "")
    first, advice, small, crossing, expected, *_ = done.stdout.splitlines()
    assert first.startswith("nobody listens at postgresql:5433: 1 connection of django refused (")
    assert advice == "  see whether the server runs, is ready, and listens on this port"
    assert small == "and 1 small thing: flowgauge troubles --all"
    assert crossing == "1 conversation between namespaces: stock-report (other-team) → postgresql:5432 (flow-demo)"
    assert expected.startswith("  if nobody expects one of these: flowgauge flows")


def test_all_says_small_things_too(console: Console) -> None:
    done = run(console, "--all")
    assert done.returncode == 0
    assert (
        "1 packet (0.1 %) between report and postgresql:5432 dropped; the kernel of node-c drops them: TCP_RFC7323_PAWS"
        in done.stdout
    )
    assert "small thing" not in done.stdout


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        pytest.param(["port = 5433"], 1, id="one that is felt"),
        pytest.param(["owner = report"], 0, id="a small one"),
        pytest.param(["owner = report", "--all"], 1, id="a small one is asked for"),
        pytest.param(["port = 9999"], 0, id="none"),
    ],
)
@pytest.mark.parametrize("output", ["text", "json", "jsonl"])
def test_fail_if_any_is_for_scripts_whatever_the_output(console: Console, asked: list[str], status: int, output: str) -> None:
    done = run(console, *asked, "--fail-if-any", "-o", output)
    assert (done.returncode, done.stderr) == (status, "")


def test_programs_get_all_of_it_with_its_gravity(console: Console) -> None:
    whole = json.loads(run(console, "-o", "json").stdout)
    assert [one["gravity"] for one in whole["troubles"]] == ["failing", "small"]
    assert whole["crossing"].startswith("1 conversation")
    lines = [json.loads(line) for line in run(console, "-o", "jsonl").stdout.splitlines()]
    assert [one["words"] for one in lines] == [one["words"] for one in whole["troubles"]]
    assert lines[0].keys() == whole["troubles"][0].keys()


def test_where_no_flow_has_signals_it_does_not_say_that_all_is_well(blind: Console) -> None:
    done = run(blind)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("troubles cannot be seen: no flow of this time has signals")


def test_an_empty_answer_and_what_is_asked_wrongly_are_a_sentence_each(console: Console) -> None:
    assert run(console, "port = 9999").stdout == f"no trouble in the last {SINCE}\n"
    for arguments, words in ((["prot = 1"], "there is no field 'prot'"), (["-o", "xml"], "there are text, json, jsonl")):
        done = run(console, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr


def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Screen, "of_output", lambda: Screen(60, colours=False))
    words = "nobody listens at postgresql:5433: 1 connection of django-psql-example refused"
    one = {"words": words, "advice": "see whether the server runs, is ready, and listens on this port", "since_ms": 0}
    crossing = "1 conversation between namespaces: stock-report (other-team) → postgresql:5432 (flow-demo)"
    lines = command._said([one], 0, {"crossing": crossing, "unseen": ""}, "5m")
    assert max(map(len, lines)) <= 60
    said = " ".join(line.strip() for line in lines)
    assert words in said
    assert crossing in said
