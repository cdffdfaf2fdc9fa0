# SPDX-License-Identifier: Apache-2.0
"""``flowgauge export ipfix`` from a real store and console to real receivers; all flows of a range, in slices."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from agent_kit import until
from console_kit import Collector, Console, running_console
from export_kit import StreamReceiver, UdpReceiver, decoded
from flowgauge.cli import units
from flowgauge.cli.main import main
from flowgauge.console.settings import ConsoleSettings
from flowgauge.flow.arrow import to_arrow
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.rows import to_rows
from flowgauge.query.every_flow import count, every_flow
from flowgauge.runtime.instance import RUNTIME_DIR_VARIABLE, Instance, publish
from flowgauge.schema.flow_query import FlowQuery
from flowgauge.store.secret import reader_key
from flowgauge.store.store import FlowStore
from store_kit import flows, in_namespace, last, now_ms, running_store

pytestmark = pytest.mark.slow
ROWS = 6_000


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FlowStore, str, str]]:
    """A store with flows of one minute: most of them end within the same 40 ms, three times 2,000."""
    with running_store(tmp_path_factory.mktemp("store")) as process:
        opened = process.open()
        end = now_ms()
        for part in range(3):
            ends = [end - 40 * (part == 1) - (row % 7) * (8000 if row % 3 == 0 else 3) for row in range(2000)]
            octets = list(range(part * 2000 + 1, part * 2000 + 2001))
            opened.write(
                flows("shop", 2000, time_end_ms=ends, bytes=octets, src_name=["web-1", "web-2"] * 1000), f"part-{part}"
            )
        opened.write(flows("shop", 50, duplicate_of=1), "again")
        yield opened, process.url, reader_key(process.secret)


@pytest.fixture(scope="module")
def console(store: tuple[FlowStore, str, str], collector: Collector) -> Iterator[Console]:
    with running_console(ConsoleSettings(store[1], store[2], collector_url=collector.http.url)) as running:
        yield running


def export(*arguments: str, console: Console) -> int:
    return main(["export", "ipfix", "--url", console.url, *arguments])


@pytest.mark.parametrize("rows_at_once", [100, 1000, 100_000])
def test_slices_hold_each_flow_once_oldest_first(store: tuple[FlowStore, str, str], rows_at_once: int) -> None:
    query = FlowQuery(window=last(600), where=in_namespace("shop"), columns=("time_end_ns", "bytes"))
    batches = list(every_flow(store[0], query, rows_at_once))
    whole = FlowBatch.concat(batches)
    assert sorted(whole.array("bytes").tolist()) == list(range(1, ROWS + 1))
    assert (np.diff(whole.array("time_end_ms")) >= 0).all()
    assert count(store[0], query) == ROWS
    if rows_at_once == 1000:
        # No slice is larger than asked for, but where one millisecond holds more.
        assert all(len(one) <= 1000 or len(set(one.array("time_end_ms").tolist())) == 1 for one in batches)


def test_a_range_without_flows_is_a_batch_without_rows(store: tuple[FlowStore, str, str]) -> None:
    (batch,) = every_flow(store[0], FlowQuery(window=last(600), where=in_namespace("nowhere"), columns=("bytes",)))
    assert (len(batch), list(batch)) == (0, ["bytes"])


def test_stored_flows_go_out_with_their_names(console: Console, capsys: pytest.CaptureFixture[str]) -> None:
    receiver = StreamReceiver()
    to = f"127.0.0.1:{receiver.port}"
    assert export("namespace = shop", "--to", to, "--transport", "tcp", "--since", "10m", console=console) == 0
    receiver.close()
    got = decoded(*receiver.sessions[0]).flows
    assert sorted(got.array("bytes").tolist()) == list(range(1, ROWS + 1)), "duplicates are left out, nothing else"
    assert set(got.names("src_name").to_list()) == {"web-1", "web-2"}
    assert f"6,000 flows: 6,000 sent to {to} as IPFIX, 0 failed" in capsys.readouterr().err


def test_an_answer_that_breaks_off_is_no_success(store: tuple[FlowStore, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    batches = every_flow(store[0], FlowQuery(window=last(600), where=in_namespace("shop")), rows_at_once=1000)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, to_arrow(first := next(batches)).schema) as writer:
        writer.write_batch(to_arrow(first))
        piece = sink.getvalue()
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(piece), piece)
    receiver = UdpReceiver()
    with socket.create_server(("127.0.0.1", 0)) as half_a_console:

        def serve() -> None:
            connection, _ = half_a_console.accept()
            connection.recv(65536)
            connection.sendall(answer)
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        half = Console(f"http://127.0.0.1:{half_a_console.getsockname()[1]}")
        assert export("--to", f"127.0.0.1:{receiver.port}", console=half) == 3
    said = capsys.readouterr().err
    assert f"{units.counted(len(first), 'flow')}: {units.number(len(first))} sent" in said, "what came is sent and counted"
    assert "broke off: not all flows were exported" in said
    assert decoded(*receiver.close()).counts["decode_records"] == len(first)


def test_netflow9_duplicates_and_chosen_columns(console: Console, capsys: pytest.CaptureFixture[str]) -> None:
    receiver = UdpReceiver()
    to = f"127.0.0.1:{receiver.port}"
    asked = ("bytes <= 200", "--to", to, "--duplicates", "--columns", "src_name", "--domain", "77",
             "--since", "1h")  # fmt: skip
    assert export(*asked, "--protocol", "netflow9", console=console) == 0
    assert export(*asked, console=console) == 0
    payloads = receiver.close()
    netflow, ipfix = ([one for one in payloads if one[:2] == version] for version in (b"\0\x09", b"\0\x0a"))
    assert decoded(*netflow).counts["decode_records"] == decoded(*ipfix).counts["decode_records"] == 250
    rows = to_rows(decoded(*ipfix).flows)
    assert {row.get("src_name") for row in rows} == {"web-1", "web-2", None}
    assert {(row["obs_domain_id"], "dst_owner" in row) for row in rows} == {(77, False)}
    assert "250 flows: 250 sent" in capsys.readouterr().err


def test_live_flows_go_out_until_it_is_stopped(console: Console, collector: Collector) -> None:
    until(lambda: not collector.tap.viewers, "earlier viewers are gone")
    receiver = UdpReceiver()
    command = [sys.executable, "-m", "flowgauge.cli.main", "export", "ipfix", "src_namespace = shop", "--live",
               "--to", f"127.0.0.1:{receiver.port}", "--url", console.url]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    collector.publish_when_watched("shop", "elsewhere", "shop")
    until(lambda: len(decoded(*receiver.payloads).flows) == 4, "both batches arrived")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "4 flows: 4 sent" in said
    assert set(decoded(*receiver.close()).flows.names("src_namespace").to_list()) == {"shop"}


def test_a_live_batch_has_no_bound_on_its_rows(console: Console, collector: Collector) -> None:
    until(lambda: not collector.tap.viewers, "earlier viewers are gone")
    receiver = StreamReceiver()
    command = [sys.executable, "-m", "flowgauge.cli.main", "export", "ipfix", "--live", "--transport", "tcp",
               "--to", f"127.0.0.1:{receiver.port}", "--url", console.url]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until(lambda: collector.tap.viewers, "it watches")
    collector.tap.publish(flows("large", 12_000))
    until(lambda: receiver.sessions and sum(map(len, receiver.sessions[0])) > 12_000 * 60, "the flows arrived")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert "12,000 flows: 12,000 sent" in said
    receiver.close()


def test_the_collector_that_flows_come_from_does_not_get_them_again(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(RUNTIME_DIR_VARIABLE, str(tmp_path))
    publish(Instance(os.getpid(), "run", console_url=console.url, extra={"collector": "127.0.0.1:2055"}))
    assert main(["export", "ipfix", "--to", "localhost:2055", "--live"]) == 2
    assert "is the collector that these flows come from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "nowhere"], "write host and port"),
        (["--to", "h:1", "--live", "--since", "5m"], "--live sends what happens now"),
        (["--to", "h:1", "--since", "5m", "--from", "10m"], "give it or --from"),
        (["--to", "h:1", "--columns", "nothing"], "there is no column 'nothing'"),
        (["--to", "h:1", "--protocol", "netflow9", "--transport", "tls"], "UDP only"),
        (["--to", "127.0.0.1:9", "bytes >"], "character"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], words: str, console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(*arguments, console=console) == 2
    assert words in capsys.readouterr().err
