# SPDX-License-Identifier: Apache-2.0
"""``flowgauge collect`` as a process: options, signals, report, and one sentence for each mistake of its user."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

import pytest

from collector_process import Command
from flowgauge.cli.endpoint import host_and_port
from flowgauge.collector.settings import CollectorSettings
from flowgauge.config.model import Collector
from flowgauge.config.storage import Storage
from flowgauge.errors import UsageError
from flowgauge.run.part import free_port
from ipfix_kit import Exporter, records
from store_kit import SECRET, StoreProcess

_DOCUMENT = """spec:
  collector: {{port: {port}, deduplicate: {deduplicate}}}
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_a_stop_stores_what_was_received_and_writes_the_report(
    process: StoreProcess, tmp_path: Path, number: signal.Signals
) -> None:
    port, report = free_port(socket.SOCK_DGRAM), tmp_path / "report.json"
    command = Command(process, tmp_path, "--listen", f"127.0.0.1:{port}", "--report", str(report))
    command.until_ready()
    exporter = Exporter(node=f"node-{number.name}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        for message in [exporter.templates(), *exporter.data(records(200)), exporter.options({"eviction_flows": 200})]:
            sock.send(message)
        status, log = command.stop(number)
    assert status == 0, log
    told = json.loads(report.read_text())
    own, agent = told["components"]
    assert own["counters"]["store_rows_written"] == 200
    assert agent["counters"]["eviction_flows"] == 200
    assert told["exporters"][0]["flows"] == 200
    assert SECRET not in log


@pytest.mark.slow
def test_a_saved_document_applies_at_sighup_and_a_broken_one_changes_nothing(process: StoreProcess, tmp_path: Path) -> None:
    port, document = free_port(socket.SOCK_DGRAM), tmp_path / "flowcollector.yaml"
    document.write_text(_DOCUMENT.format(port=port, deduplicate="Mark"))
    command = Command(process, tmp_path, "-f", str(document))
    command.until_ready()
    for deduplicate, event in (("Sometimes", "settings_not_applied"), ("Drop", "settings_applied")):
        document.write_text(_DOCUMENT.format(port=port + 1, deduplicate=deduplicate))
        command.process.send_signal(signal.SIGHUP)
        command.until_logged(event)
    command.until_ready()
    status, log = command.stop()
    events = [json.loads(line) for line in log.splitlines()]
    assert status == 0
    assert next(e for e in events if e["event"] == "settings_applied")["deduplicate"] == "Drop"
    assert [e["setting"] for e in events if e["event"] == "setting_needs_restart"] == ["collector.port"]


@pytest.mark.slow
def test_what_is_missing_or_wrong_is_one_sentence(process: StoreProcess, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        cases = [
            (("--listen", f"127.0.0.1:{port}"), SECRET, 3, f"cannot listen on UDP 127.0.0.1:{port}"),
            (("--listen", "127.0.0.1:0"), "wrong", 3, "not its secret"),
            (("--listen", "127.0.0.1:70000"), SECRET, 2, "70000"),
            (("--listen", "127.0.0.1:0", "--kubernetes-objects", str(tmp_path / "none")), SECRET, 2, "none"),
            (("--deduplicate", "Maybe"), SECRET, 2, "--deduplicate"),
        ]  # fmt: skip
        commands = [Command(process, tmp_path, *arguments, secret=secret) for arguments, secret, *_ in cases]
        for command, (_, _, status, words) in zip(commands, cases, strict=True):
            assert command.process.wait(60) == status, command.log()
            assert words in command.log().splitlines()[-1]
            assert "Traceback" not in command.log()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("", None)),
        ("127.0.0.1:2055", ("127.0.0.1", 2055)),
        ("[2001:db8::1]:9995", ("2001:db8::1", 9995)),
        ("[::1]", ("::1", None)),
        ("::", ("::", None)),
        ("2055", ("", 2055)),
        (":2055", ("", 2055)),
        ("collector.example", ("collector.example", None)),
    ],
)
def test_listen_takes_every_usual_way_of_writing(text: str, expected: tuple[str, int | None]) -> None:
    assert host_and_port("--listen", text) == expected


@pytest.mark.parametrize("text", ["127.0.0.1:x", "127.0.0.1:65536", "[::1]:-1"])
def test_listen_refuses_what_is_no_port(text: str) -> None:
    with pytest.raises(UsageError, match="no port"):
        host_and_port("--listen", text)


@pytest.mark.parametrize(
    ("given", "address", "expected"),
    [
        ("", "127.0.0.1", "127.0.0.1"),
        ("", "localhost", "localhost"),
        ("", "flow-collector.flow-namespace.svc.cluster.local", "::"),
        ("192.0.2.7", "127.0.0.1", "192.0.2.7"),
    ],
)
def test_only_a_document_that_sends_elsewhere_opens_the_port_to_others(given: str, address: str, expected: str) -> None:
    assert CollectorSettings(store_url="", listen_host=given, collector=Collector(address=address)).host == expected


def test_the_secret_is_not_in_what_settings_print() -> None:
    assert "hidden" not in repr(CollectorSettings(store_url="http://x", store_secret="hidden"))


def test_what_cannot_be_taken_over_is_named() -> None:
    before = CollectorSettings(store_url="http://x")
    same = CollectorSettings(store_url="http://x", collector=Collector(deduplicate="Drop"), log_level="debug")
    assert before.needs_restart(same) == []
    other = CollectorSettings(store_url="http://y", storage=Storage(retention="1d"), collector=Collector(port=1))
    assert before.needs_restart(other) == ["store_url", "storage", "collector.port"]
