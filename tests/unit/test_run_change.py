# SPDX-License-Identifier: Apache-2.0
"""A changed document restarts as little as possible, and every restart has a reason for people."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowgauge.config.effective import Effective, effective
from flowgauge.run.change import Change, _seen_by, change
from flowgauge.run.compose import AgentPlace, Composition, Plan, compose
from flowgauge.run.watch import WatchedFile


def state(tmp_path: Path, text: str) -> tuple[Effective, Composition]:
    document = tmp_path / "doc.yaml"
    document.write_text(text)
    settings = effective(document, (), {})
    plan = Plan(
        document, Path("data"), Path("run"), agents=(AgentPlace("n", http_port=9),) if settings.spec.exporter.enable else (),
        collector_port=settings.spec.collector.port, console_port=settings.spec.console_plugin.port, collector_http_port=8,
        store_port=7, store_secret="s",
    )  # fmt: skip
    return settings, compose(settings.spec, plan)


def between(tmp_path: Path, before: str, after: str) -> Change:
    return change(state(tmp_path, before), state(tmp_path, after))


def test_the_same_settings_written_otherwise_ask_for_nothing(tmp_path: Path) -> None:
    assert between(tmp_path, "spec: {}", "# comment\nspec: {logLevel: info}") == Change()


@pytest.mark.parametrize(
    ("after", "reread"),
    [
        ("spec: {logLevel: debug}", ("store", "collector", "agent-n", "console")),
        ("spec: {exporter: {sampling: 10}}", ("agent-n",)),
        ("spec: {exporter: {exportInterval: 1s, interfaces: [eth0]}}", ("agent-n",)),
        ("spec: {collector: {enrichment: {subnetLabels: [{name: a, cidrs: [10.0.0.0/8]}]}}}", ("collector",)),
        ("spec: {collector: {deduplicate: Drop}}", ("collector",)),
        ("spec: {exporter: {features: [nat, drops, dns]}}", ("agent-n",)),  # the same columns
    ],
)
def test_what_running_parts_can_take_over_restarts_nothing(tmp_path: Path, after: str, reread: tuple[str, ...]) -> None:
    steps = between(tmp_path, "spec: {}", after)
    assert (steps.restart, steps.reread) == ({}, reread)


@pytest.mark.parametrize(
    ("after", "restarted", "why"),
    [
        ("spec: {storage: {retention: 8d}}", ["store", "collector"], "storage.retention takes effect at a start only"),
        ("spec: {storage: {maxMemoryBytes: 1073741824}}", ["store"], "the collector holds flows until it is back"),
        ("spec: {collector: {receiveBufferBytes: 1048576}}", ["collector"], "agents hold their flows until it is back"),
        ("spec: {collector: {port: 9995}}", ["collector", "agent-n"], "collector.port takes effect at a start only"),
        ("spec: {consolePlugin: {port: 8056}}", ["console"], "open pages connect again"),
        ("spec: {exporter: {features: [dns, tls]}}", ["store", "collector", "console"], "exporter.features takes effect"),
        ("spec: {exporter: {tunnels: inner}}", ["store", "collector", "console"], "exporter.tunnels takes effect"),
        ("spec: {storage: {index: {columns: [router]}}}", ["store", "collector", "console"], "storage.index.columns takes"),
    ],
)
def test_what_is_fixed_at_a_start_restarts_only_who_reads_it_and_says_why(
    tmp_path: Path, after: str, restarted: list[str], why: str
) -> None:
    steps = between(tmp_path, "spec: {}", after)
    assert list(steps.restart) == restarted
    assert why in steps.restart[restarted[0]]


@pytest.mark.parametrize(
    "sending",
    [
        "type: NetFlow",
        "transport: TCP",
        "others: ['192.0.2.7:2055']",
        "others: ['192.0.2.7:2055'], spread: FlowHash",
        "clientTls: {ca: /etc/ca.pem}",
        "transport: Kafka, kafka: {brokers: '127.0.0.1:9092', topic: flows}",
    ],
)
def test_how_agents_send_is_told_to_them_too(tmp_path: Path, sending: str) -> None:
    steps = between(tmp_path, "spec: {}", f"spec: {{collector: {{{sending}}}}}")
    assert (list(steps.restart), steps.reread) == (["collector"], ("agent-n",))


def test_every_setting_has_a_part_that_reads_it(tmp_path: Path) -> None:
    """A field that no part is told of would do nothing until the next start, and nobody would say so."""
    settings, _ = state(tmp_path, "spec: {}")
    readers = {setting.path: [name for name in ("store", "collector", "agent-n", "console") if _seen_by(name, [setting.path])]
               for setting in settings.settings()}  # fmt: skip
    nobody = [path for path, names in readers.items() if not names]
    assert nobody == ["spec.visualization.dashboards", "spec.alerts"]  # of which nothing is built yet


def test_a_section_that_comes_or_goes_is_told_setting_by_setting(tmp_path: Path) -> None:
    tls = "spec: {collector: {clientTls: {ca: /etc/ca.pem}}}"
    assert "spec.collector.clientTls.ca: not set → /etc/ca.pem" in between(tmp_path, "spec: {}", tls).settings
    gone = between(tmp_path, tls, "spec: {}")
    assert "spec.collector.clientTls.ca: /etc/ca.pem → not set" in gone.settings
    assert gone.reread == ("agent-n",)


def test_parts_come_and_go_with_the_document(tmp_path: Path) -> None:
    without = between(tmp_path, "spec: {}", "spec: {exporter: {enable: false}, consolePlugin: {enable: false}}")
    assert without.gone == ("agent-n", "console")
    again = between(tmp_path, "spec: {consolePlugin: {enable: false}}", "spec: {}")
    assert again.come == ("console",)
    assert again.settings == ("spec.consolePlugin.enable: False → True",)


def test_saving_is_noticed_however_it_is_done(tmp_path: Path) -> None:
    document = tmp_path / "doc.yaml"
    document.write_text("one")
    watched = WatchedFile(document)
    assert not watched.changed()
    document.write_text("two, in place")
    assert eventually_changed(watched)
    (tmp_path / "new").write_text("three, renamed over")
    (tmp_path / "new").replace(document)
    assert eventually_changed(watched)
    document.touch()
    assert not eventually_changed(watched)
    document.unlink()
    assert not eventually_changed(watched)
    document.write_text("four, after it was gone")
    assert eventually_changed(watched)


def eventually_changed(watched: WatchedFile) -> bool:
    return any(watched.changed() for _ in range(3))
