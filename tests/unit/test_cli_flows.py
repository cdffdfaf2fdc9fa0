# SPDX-License-Identifier: Apache-2.0
"""``flowgauge flows`` as people and scripts call it: real processes, a real console, a real store, a real terminal."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from console_kit import Collector, Console, running_console
from flowgauge.console.settings import ConsoleSettings
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime.instance import RUNTIME_DIR_VARIABLE, Instance
from flowgauge.store.store import LedgerRow
from store_kit import flows, named, now_ms, running_store

pytestmark = pytest.mark.slow  # some fifty processes
ARGV = (sys.executable, "-m", "flowgauge.cli.main", "flows")
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
ALL_THERE_IS = ("--since", "1h")
"""However long the tests take; where a range is asked for, that one holds."""


def conversations() -> FlowBatch:
    """Django's pod → postgresql, the sampled answer, the outside client's ping."""
    there = named(
        flows("flow-demo", 3, owners=("django-psql-example",), bytes=[100, 2000, 4_000_000], packets=[1, 2, 4000],
              flow_direction=2),
        src_name="django-psql-example-7d9f8b6c5-x2x9k", dst_namespace="flow-demo", dst_name="postgresql-1-abcde",
        dst_service="postgresql", node_reporter="node-a",
    )  # fmt: skip
    back = named(
        flows("flow-demo", 1, owners=("postgresql",), src_port=5432, dst_port=40000, sampling_rate=100, packets=10,
              flow_direction=1),
        dst_namespace="flow-demo", dst_owner="django-psql-example", node_reporter="node-b",
    )  # fmt: skip
    ping = named(
        flows("", 1, owners=("",), proto=1, icmp_type=8, src_port=0, dst_port=0), src_subnet="EXT: client", dst_owner=""
    )
    return FlowBatch.concat([there, back, ping])


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with running_store(tmp_path_factory.mktemp("store")) as process:
        store = process.open()
        store.write(conversations(), "rows")
        counters = {"store_rows_written": 999, "sequence_gap_records": 1}
        instance = f"c@{now_ms() - 60_000}"
        store.write_ledger([LedgerRow(now_ms(), "collector", instance, name, value) for name, value in counters.items()])
        with running_console(ConsoleSettings(process.url, process.secret)) as running:
            yield running


def argv(console: Console, *arguments: str) -> list[str]:
    since = () if {"--since", "--from", "--live"} & set(arguments) else ALL_THERE_IS
    return [*ARGV, *arguments, *since, "--url", console.url]


def run(console: Console, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv(console, *arguments), capture_output=True, text=True, timeout=60, check=False)


def on_terminal(console: Console, *arguments: str, columns: int) -> list[str]:
    """What a terminal of so many columns shows, line by line, with its control sequences."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")} | {"TERM": "xterm"}
    with subprocess.Popen(argv(console, *arguments), stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # Linux says so when the other side is closed
            pass
        finally:
            os.close(ours)
        process.wait(60)
    return shown.decode().replace("\r\n", "\n").splitlines()


def test_the_table_reads_as_a_sentence(console: Console) -> None:
    done = run(console, "owner = postgresql and bytes > 1MB")
    assert (done.returncode, done.stderr) == (0, "")
    header, row, footer = done.stdout.splitlines()
    assert header.split() == ["TIME", "FROM", "TO", "PORT", "BYTES", "PACKETS", "DIRECTION"]
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3}  flow-demo/django-psql-example-7d9f8b6c5-x2x9k  →  flow-demo/postgresql-1-abcde  "
        r"5432 postgresql  4\.0 MB    4,000  out of node-a",
        row,
    )
    assert re.match(r"1 flow · [\d: -]+ – [\d: -]+ · 99\.90 % complete; missing: 1 records missing", footer)


def test_scaled_figures_are_marked_with_their_error_and_replies_as_such(console: Console) -> None:
    (row,) = [line for line in run(console).stdout.splitlines() if "reply" in line]
    assert "flow-demo/postgresql" in row
    assert "5432 postgresql reply" in row.replace("  ", " ")
    assert "≈ 10.0 kB ±62 %" in row
    assert "into node-b" in row
    assert "scaled estimates" in run(console).stdout.splitlines()[-1]


def test_outside_peers_go_by_their_subnet_and_protocols_without_ports_by_name(console: Console) -> None:
    (row,) = [line for line in run(console, "proto = icmp").stdout.splitlines() if "ICMP" in line]
    assert "client (10.0.0.1)" in row


@pytest.mark.parametrize("columns", [200, 120, 80, 60, 40, 20])
def test_no_line_of_a_table_is_wider_than_the_terminal(console: Console, columns: int) -> None:
    lines = [ANSI.sub("", line) for line in on_terminal(console, columns=columns)]
    rows = lines[:-2]  # the footer's sentences may wrap
    assert len(rows) == 6
    assert all(len(line) <= columns for line in rows)
    assert "FROM" in rows[0]
    assert any("psql" in line or "…" in line for line in rows)


def test_colours_only_on_a_terminal(console: Console) -> None:
    assert ANSI.search("\n".join(on_terminal(console, columns=100)))
    assert not ANSI.search(run(console).stdout)


def test_groups_have_rates_sums_and_others(console: Console) -> None:
    done = run(console, "--by", "src_owner,dst_owner", "--limit", "1", "--since", "1000s")
    header, row, others, footer, _ = done.stdout.splitlines()
    assert header.split() == ["SRC_OWNER", "DST_OWNER", "RATE", "BYTES", "PACKETS", "FLOWS"]
    assert row.split() == ["django-psql-example", "postgresql", "4.0", "kB/s", "4.0", "MB", "4,003", "3"]
    assert others.startswith("2 others")
    assert footer.startswith("1 of 3 groups (more with --limit) · ")


def test_groups_show_who_has_no_name_by_the_subnet(console: Console) -> None:
    _, row, *_ = run(console, "proto = icmp", "--by", "src_owner,dst_owner").stdout.splitlines()
    assert row.split()[:2] == ["client", "–"]
    (group,) = map(json.loads, run(console, "proto = icmp", "--by", "src_owner", "-o", "jsonl").stdout.splitlines())
    assert "src_subnet" not in group


def test_json_lines_and_csv_have_the_wanted_columns_and_nothing_else(console: Console) -> None:
    done = run(console, "src_owner exists", "-o", "jsonl", "--columns", "src_owner,bytes")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 4
    assert all(list(row) == ["src_owner", "bytes"] for row in rows)
    table = list(csv.DictReader(run(console, "-o", "csv", "--columns", "src_owner,bytes").stdout.splitlines()))
    assert sorted(row["bytes"] for row in table) == ["100", "100", "100", "2000", "4000000"]
    whole = list(csv.DictReader(run(console, "-o", "csv").stdout.splitlines()))
    assert {"src_addr", "time_end_ns", "dst_service"} <= set(whole[0])
    assert "missing: 1 records" in done.stderr  # a loss is told even to scripts, beside their data


def test_json_is_the_whole_answer(console: Console) -> None:
    answer = json.loads(run(console, "-o", "json", "--limit", "2").stdout)
    assert (len(answer["rows"]), answer["matched"]) == (2, 5)


def test_chosen_columns_are_shown_in_units(console: Console) -> None:
    lines = run(console, "bytes > 1MB", "--columns", "src_port,bytes,src_zone,duration_ns").stdout.splitlines()
    assert lines[0].split() == ["SRC_PORT", "BYTES", "SRC_ZONE", "DURATION_NS"]
    assert lines[1].split() == ["40000", "4.0", "MB", "0", "ns"]


def test_nothing_found_is_an_answer(console: Console) -> None:
    done = run(console, "port = 1", "--fail-if-any")
    assert done.returncode == 0
    assert done.stdout.startswith("no flow matches · ")


def test_fail_if_any_ends_with_1_when_a_flow_matched(console: Console) -> None:
    assert run(console, "port = 5432", "--fail-if-any").returncode == 1
    assert run(console, "port = 5432", "--fail-if-any", "--by", "src_owner", "-o", "jsonl").returncode == 1


def test_a_filter_needs_no_quotes_around_all_of_it(console: Console) -> None:
    assert run(console, "src_owner", "=", "postgresql", "-o", "jsonl").stdout.count("\n") == 1


def test_a_wrong_filter_is_pointed_at(console: Console) -> None:
    done = run(console, "port = 80 and nmspace = a")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "flowgauge: there is no field 'nmspace' at character 15 (did you mean 'namespace'?)",
        "port = 80 and nmspace = a",
        "              ^^^^^^^",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--since", "soon"), "no duration"),
        (("--from", "sometime"), "no time"),
        (("--from", "10m", "--since", "5m"), "not both"),
        (("--by", "owner"), "did you mean src_owner?"),
        (("--columns", "byte"), "did you mean bytes?"),
        (("--by", "src_owner", "--columns", "bytes"), "--columns"),
        (("--by", "src_owner", "--top", "joules"), "joules"),
        (("-o", "yaml"), "there are table, jsonl, json, csv"),
        (("--by", "src_owner", "--limit", "5000"), "at most 1000"),
        (("--live", "--from", "10m"), "--live shows what happens now"),
        (("--live", "-o", "csv"), "use -o jsonl"),
        (("--live", "--by", "src_owner", "--top", "retransmits"), "bytes, packets or flows"),
        (("src_region = x",), "not stored here"),
        (("--limit", "0"), "--limit"),
    ],
)
def test_a_wrong_question_is_one_sentence_with_status_2(console: Console, arguments: tuple[str, ...], words: str) -> None:
    done = run(console, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_times_of_day_and_ago_choose_the_range(console: Console) -> None:
    assert run(console, "--from", "2h", "-o", "jsonl").stdout.count("\n") == 5
    assert run(console, "--from", "2h", "--to", "1h", "-o", "jsonl").stdout == ""
    assert run(console, "--from", "2001-01-01", "--to", "2001-01-02T03:04:05Z", "-o", "jsonl").stdout == ""


def test_without_anything_running_it_says_what_to_start(tmp_path: Path) -> None:
    environment = os.environ | {RUNTIME_DIR_VARIABLE: str(tmp_path)}
    done = subprocess.run(ARGV, capture_output=True, text=True, env=environment, timeout=60, check=False)
    if "nothing is running here" not in done.stderr:  # another instance of this machine was found
        pytest.skip("an instance runs on this machine")
    assert done.returncode == 3
    assert "flowgauge demo" in done.stderr


def test_the_running_instance_is_found_by_its_state_file(console: Console, tmp_path: Path) -> None:
    state = json.dumps({"pid": os.getpid(), "kind": "run", "console_url": console.url})
    (tmp_path / "instance.json").write_text(state)
    environment = os.environ | {RUNTIME_DIR_VARIABLE: str(tmp_path)}
    command = [*ARGV, *ALL_THERE_IS, "-o", "jsonl"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.stdout.count("\n") == 5
    assert Instance(**json.loads(state)).console_url == console.url


def test_nobody_there_is_one_sentence_with_status_3() -> None:
    done = run(Console("http://127.0.0.1:1"))
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert "nothing answers at http://127.0.0.1:1" in done.stderr
    assert run(Console("ftp://x")).returncode == 2


def test_a_console_with_a_token_asks_for_it(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a token of some length\n")
    with running_console(ConsoleSettings("http://127.0.0.1:1", "", token=token.read_text().strip())) as guarded:
        done = run(guarded)
        assert done.returncode == 2
        assert "--token-file" in done.stderr
        assert run(guarded, "--token-file", str(token)).returncode == 3  # let in; there is no store behind
        assert run(guarded, "--token-file", str(tmp_path / "none")).returncode == 2


def test_the_reader_of_the_output_may_go_away(console: Console) -> None:
    command = f"{' '.join(argv(console, '-o', 'jsonl'))} | head -1; echo status ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[1:] in (
        ["status 0"],
        ["status 141"],
    )  # it had written all, or ended like head's other readers
    assert "Traceback" not in done.stderr


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.stop()


@pytest.fixture
def live_console(collector: Collector) -> Iterator[Console]:
    with running_console(ConsoleSettings("http://127.0.0.1:1", "", collector_url=collector.http.url)) as running:
        yield running


def interrupted(console: Console, collector: Collector, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``--live`` that saw two batches, ended by Ctrl-C: after both it says that the stream was lost."""
    command = argv(console, "--live", *arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        collector.publish_when_watched("one", "two")
        collector.until_sent()
        collector.restart()
        assert process.stderr is not None
        assert "connecting again" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def test_live_shows_rows_until_interrupted(collector: Collector, live_console: Console) -> None:
    done = interrupted(live_console, collector, "namespace = two")
    header, *rows = done.stdout.splitlines()
    assert header.startswith("TIME")
    assert len(rows) == 2
    assert all("two/web" in row and "5432 postgresql" in row for row in rows)
    assert "2 flows shown" in done.stderr
    assert done.returncode == 130


def test_live_rows_for_programs(collector: Collector, live_console: Console) -> None:
    done = interrupted(live_console, collector, "-o", "jsonl", "--columns", "src_namespace,bytes")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        *[{"src_namespace": "one", "bytes": 100}] * 2, *[{"src_namespace": "two", "bytes": 100}] * 2,
    ]  # fmt: skip


def test_live_sums_by_group(collector: Collector, live_console: Console) -> None:
    done = interrupted(live_console, collector, "--by", "src_namespace", "--top", "flows")
    lines = done.stdout.splitlines()
    heading = ["SRC_NAMESPACE", "RATE", "BYTES", "PACKETS", "FLOWS"]
    (*_, last) = (at for at, line in enumerate(lines) if line.split() == heading)
    assert {line.split()[0]: line.split()[-1] for line in lines[last + 1 : last + 3]} == {"one": "2", "two": "2"}


def test_live_ends_at_the_first_match_when_asked_to(collector: Collector, live_console: Console) -> None:
    command = argv(live_console, "--live", "namespace = two", "--fail-if-any")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        collector.publish_when_watched("one", "two")
        assert process.wait(60) == 1


def test_a_lost_stream_is_looked_for_again(collector: Collector, live_console: Console) -> None:
    command = argv(live_console, "--live", "-o", "jsonl", "--columns", "src_namespace")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        collector.publish_when_watched("before")
        assert process.stdout is not None
        assert "before" in process.stdout.readline()
        collector.restart()
        collector.publish_when_watched("after")
        assert "before" in process.stdout.readline()
        assert "after" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert "connecting again" in stderr


def test_live_without_a_collector_says_so(console: Console) -> None:
    done = run(console, "--live")
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "flowgauge: nothing is live: this console was started without a collector (--collector-url)"
    ]
