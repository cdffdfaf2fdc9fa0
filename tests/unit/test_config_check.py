# SPDX-License-Identifier: Apache-2.0
"""``config check`` says what each line does and what this build cannot do; ``config show`` where each value is from."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from flowgauge.cli.main import main
from flowgauge.config.check import Kind, check
from flowgauge.config.effective import effective
from flowgauge.config.load import loads
from flowgauge.config.sentences import DOES, NOT_YET, sampling_error, unseen_share

GIVEN = (Path(__file__).parents[1] / "golden/config/given/in.yaml").read_text(encoding="utf-8")


def told(text: str) -> dict[tuple[str, Kind], str]:
    return {(finding.path, finding.kind): finding.text for finding in check(loads(text))}


def test_every_setting_has_a_sentence_and_every_limit_a_setting() -> None:
    paths = {setting.path for setting in effective(None, (), {}).settings()}
    assert set(DOES) == paths
    assert set(NOT_YET) <= paths


def test_every_sentence_can_be_said_of_the_defaults_and_of_the_given_document() -> None:
    for text in ("spec: {}", GIVEN):
        spec = loads(text).document.spec
        assert all(sentence(spec) for sentence in DOES.values())


def test_defaults_ask_for_nothing_that_is_missing() -> None:
    assert [path for path, sentence in NOT_YET.items() if sentence(loads("spec: {}").document.spec)] == []


def test_each_line_of_the_given_document_is_explained() -> None:
    findings = check(loads(GIVEN))
    assert {finding.line for finding in findings if finding.kind is Kind.DOES} >= {5, 6, 7, 8, 9}
    said = told(GIVEN)
    sampling = said["spec.exporter.sampling", Kind.DOES]
    assert "1 of 100 packets" in sampling
    assert "±20% for 10,000 packets" in sampling
    assert "Loki is not in this build: flows are kept in the embedded store" in said["spec.storage.type", Kind.NOT_YET]
    assert said["spec.exporter.namespaces.include", Kind.DOES] == (
        "namespaces: all, so flow-demo is included; to limit, add `exporter.namespaces.include: [flow-demo]`"
    )
    assert "the Service flow-collector of namespace flow-namespace" in said["spec.collector.address", Kind.DOES]


def test_what_a_document_asks_beyond_this_build_is_said_with_what_happens_instead() -> None:
    said = told("spec: {exporter: {type: OVS}, collector: {forward: [{type: Kafka}]}, alerts: [{a: b}]}")
    assert ("spec.exporter.type", Kind.NOT_YET) in said
    assert ("spec.collector.forward", Kind.NOT_YET) in said
    assert ("spec.alerts", Kind.NOT_YET) in said


def test_groups_of_columns_are_said_and_what_else_of_the_tables_cannot_be_set() -> None:
    said = told("spec: {storage: {index: {columns: [router], sortKey: [proto]}}}")
    assert said["spec.storage.index.columns", Kind.DOES].endswith("and router")
    assert "columns only" in said["spec.storage.index.columns", Kind.NOT_YET]
    assert ("spec.storage.index.columns", Kind.NOT_YET) not in told("spec: {storage: {index: {columns: [l2]}}}")


@pytest.mark.parametrize(
    ("exporter", "path", "words"),
    [
        ("namespaces: {include: [flow-demo]}", "namespaces.include", "with an end in namespace flow-demo are kept"),
        ("namespaces: {include: [shop, 'kube-*']}", "namespaces.include", "an end in namespaces shop and kube-* are kept"),
        ("namespaces: {exclude: [kube-system]}", "namespaces.exclude", "with an end there are left out: kube-system"),
        ("pods: {exclude: [{matchLabels: {app: web}}]}", "pods.exclude", "at a pod that the selectors choose are left out"),
        ("rules: [{protocol: TCP, sampling: 10}]", "rules", "1 sample at a rate of their own; what none matches is observed"),
        (
            "rules: [{ports: [5432]}, {action: reject}]",
            "rules",
            "2 rules, of which the first that matches decides: 1 reject; the rest",
        ),
    ],
)
def test_a_choice_of_traffic_is_applied_and_said(exporter: str, path: str, words: str) -> None:
    said = told(f"spec: {{exporter: {{{exporter}}}}}")
    assert words in said[f"spec.exporter.{path}", Kind.DOES]
    assert not [place for place, kind in said if kind is Kind.NOT_YET and place.startswith("spec.exporter.")]


def test_the_stated_sampling_error_is_that_of_a_binomial_count() -> None:
    assert sampling_error(100, 100) == pytest.approx(1.96 * (0.99 / 100) ** 0.5)
    assert sampling_error(1, 100) == 0
    assert unseen_share(100, 10) == pytest.approx(0.904, abs=0.001)


def test_check_names_interfaces_that_this_machine_does_not_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "doc.yaml"
    document.write_text("spec: {exporter: {interfaces: [no-such-dev9]}}")
    present = [name for _, name in socket.if_nameindex()]
    assert main(["config", "check", str(document)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"no-such-dev9 matches nothing on this host (it has {', '.join(sorted(present)[:8])}" in printed
    assert "traffic between pods of one node is not seen this way" in printed
    assert printed.endswith("valid, 2 warnings (!)")


def test_check_of_a_wrong_document_lists_all_and_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "doc.yaml"
    document.write_text("spec:\n  logLevel: loud\n  exporter: {sampling: 0}\n")
    assert main(["config", "check", str(document)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "2 problems" in said.err
    assert "line 2: spec.logLevel" in said.err
    assert "line 3: spec.exporter.sampling" in said.err


def test_check_for_programs_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "doc.yaml"
    document.write_text(GIVEN)
    assert main(["config", "check", str(document), "-o", "json"]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert {"path": "spec.collector.port", "value": 2055, "line": 6, "kind": "does",
            "text": "the collector listens on UDP port 2055"} in findings  # fmt: skip


def test_show_prints_a_document_that_loads_and_tells_each_origin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tmp_path / "doc.yaml"
    document.write_text(GIVEN)
    monkeypatch.setenv("FLOWGAUGE_LOG_LEVEL", "debug")
    assert main(["config", "show", "-f", str(document), "--set", "exporter.exportInterval=2s"]) == 0
    printed = capsys.readouterr().out
    lines = {line.split(":")[0].strip(): " ".join(line.split()) for line in printed.splitlines()}
    assert lines["exportInterval"] == "exportInterval: 2s # --set exporter.exportInterval"
    assert lines["logLevel"] == "logLevel: debug # FLOWGAUGE_LOG_LEVEL"
    assert lines["maxFlows"] == "maxFlows: 262144 # default"
    spec = loads(printed).document.spec
    assert (spec.exporter.sampling, spec.exporter.export_interval, spec.log_level) == (100, "2s", "debug")
    assert spec.storage == loads(GIVEN).document.spec.storage


def test_sections_that_are_there_or_not_are_explained_where_they_are() -> None:
    said = told(
        "spec: {collector: {transport: TLS, tls: {certificate: c.crt, key: c.key, clientCa: a.crt, clientNames: [x.example]}, "
        "clientTls: {ca: ca.crt}, kafka: {brokers: 'k:9092', topic: t}}}"
    )
    assert said["spec.collector.tls", Kind.DOES] == (
        "the collector's own port shows c.crt, and lets in agents whose certificate a.crt vouches for "
        "and that are called x.example"
    )
    assert "ca.crt vouches for" in said["spec.collector.clientTls", Kind.DOES]
    assert "from topic t at k:9092" in said["spec.collector.kafka", Kind.DOES]


def test_the_value_of_a_section_is_what_was_said_of_it() -> None:
    (finding,) = (
        one for one in check(loads("spec: {collector: {kafka: {brokers: 'k:9092', topic: t}}}")) if "kafka" in one.path
    )
    assert finding.value == {"brokers": "k:9092", "topic": "t"}


def test_a_name_says_where_the_collector_of_one_machine_listens_and_an_address_does_not() -> None:
    said = {
        text: told(f"spec: {{collector: {{address: {text}}}}}") for text in ("collector.example.net", "192.0.2.10", "'[::1]'")
    }
    sentences = {text: one["spec.collector.address", Kind.DOES] for text, one in said.items()}
    assert "`flowgauge run` listens on 127.0.0.1" in sentences.pop("collector.example.net")
    assert not any("flowgauge run" in sentence for sentence in sentences.values())
