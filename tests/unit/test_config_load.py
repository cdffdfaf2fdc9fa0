# SPDX-License-Identifier: Apache-2.0
"""A FlowCollector document is read as its users write it; what is wrong is told all at once, by path and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowgauge.config.load import load, loads
from flowgauge.config.model import Exporter
from flowgauge.config.storage import StorageType
from flowgauge.errors import ConfigError, UsageError

GIVEN = (Path(__file__).parents[1] / "golden/config/given/in.yaml").read_text(encoding="utf-8")
"""The document of the people who asked for the system: it must load unchanged, for ever."""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        loads(text)
    return [str(problem) for problem in raised.value.problems]


def test_the_given_document_loads_unchanged_and_means_what_it_says() -> None:
    loaded = loads(GIVEN)
    spec = loaded.document.spec
    assert loaded.notes == ()
    assert (spec.exporter.enable, spec.exporter.sampling, spec.exporter.interfaces) == (True, 100, ["eth0"])
    assert spec.collector.address == "flow-collector.flow-namespace.svc.cluster.local"
    assert (spec.collector.type, spec.collector.port) == ("IPFIX", 2055)
    assert (spec.storage.type, spec.storage.retention) == (StorageType.LOKI, "7d")
    assert spec.storage.address == "http://loki.monitoring.svc:3100"
    assert (spec.console_plugin.enable, spec.log_level) == (True, "info")


def test_the_bare_spec_loads_with_a_note_and_means_the_same() -> None:
    bare = loads("spec:" + GIVEN.partition("spec:")[2])
    assert bare.document == loads(GIVEN).document
    assert bare.notes == ("no apiVersion and kind: apiVersion: flowgauge.io/v1alpha1, kind: FlowCollector assumed",)


def test_a_json_document_loads() -> None:
    assert loads('{"spec": {"exporter": {"sampling": 7}}}').document.spec.exporter.sampling == 7


def test_all_problems_are_told_at_once_with_path_and_line() -> None:
    told = problems("""\
kind: FlowCollecter
spec:
  exporter:
    samplng: 3
    sampling: 0
    interfaces: eth0
    exportInterval: 7
  collector: {type: ipfix, port: 70000, enrichment: {subnetLabels: [{nam: x, cidrs: [10.0.0.1/8]}]}}
  storage: {type: Loki, retention: 5m}
  log_level: info
exporter: {}
""")
    assert told == [
        "line 1: kind: must be FlowCollector, not 'FlowCollecter' (did you mean FlowCollector?)",
        "line 4: spec.exporter.samplng: there is no such field; did you mean sampling?",
        "line 5: spec.exporter.sampling: must be at least 1, not 0",
        "line 6: spec.exporter.interfaces: must be a list: write [eth0]",
        "line 7: spec.exporter.exportInterval: must be a duration such as 500ms, 5s, 15m, 12h or 7d, not 7",
        "line 8: spec.collector.type: must be IPFIX, NetFlow or sFlow, not 'ipfix' (did you mean IPFIX?)",
        "line 8: spec.collector.port: must be at most 65535, not 70000",
        "line 8: spec.collector.enrichment.subnetLabels[0].name: is missing",
        (
            "line 8: spec.collector.enrichment.subnetLabels[0].cidrs[0]: must be an address block such as 203.0.113.0/24 or "
            "2001:db8::/32: 10.0.0.1/8 has host bits set"
        ),
        "line 8: spec.collector.enrichment.subnetLabels[0].nam: there is no such field; did you mean name?",
        "line 9: spec.storage.address: must be the URL of the Loki server (http://host:port), not ''",
        "line 9: spec.storage.retention: must be between 1h and 520w, not 5m",
        "line 10: spec.log_level: there is no such field; did you mean logLevel?",
        "line 11: exporter: belongs one level deeper, under spec:",
    ]


def test_a_key_given_twice_is_named_with_both_lines() -> None:
    assert problems("spec:\n  logLevel: info\n  logLevel: debug\n") == [
        "line 3: spec.logLevel: is given twice, first on line 2"
    ]


def test_words_of_yaml_1_1_stay_the_words_they_are() -> None:
    spec = loads("spec: {collector: {deduplicate: Off}, exporter: {enable: no, type: None, features: []}}").document.spec
    assert spec.collector.deduplicate == "Off"
    assert (spec.exporter.enable, spec.exporter.type.value, spec.exporter.features) == (False, "None", [])


def test_a_field_without_a_value_has_its_default() -> None:
    assert loads("spec:\n  exporter:\n  logLevel:\n").document == loads("spec: {}").document
    assert loads("spec:\n  exporter:\n    features:\n").document.spec.exporter.features == Exporter().features


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("just words", "is not a FlowCollector document"),
        ("a: [", "line 1: (document): is not YAML"),
        ("[" * 5_000, "nested deeper than 40 levels"),
        ("a: &a [*a]", "nested deeper than 40 levels"),
        ("spec: {}\n" + "#" * 300_000, "longer than 262144 characters"),
        ("spec: !!python/object:os.system x", "has the tag"),
        ("? [a]\n: 3", "a key that is not a name"),
        ("\0", "is not YAML"),
        ("spec: {}\n---\nspec: {}\n", "holds 2 documents, 0 of them of kind FlowCollector"),
        ("apiVersion: flows.netobserv.io/v1beta2\nkind: FlowCollector\nspec: {}", "a document of NetObserv"),
    ],
)
def test_what_is_no_document_is_named(text: str, words: str) -> None:
    assert words in "\n".join(problems(text))


@pytest.mark.parametrize("name", ["a..b", "a" * 64, '"a\\0b"'])
@pytest.mark.parametrize(
    "where", ["collector: {address: %s}", "collector: {listeners: [{port: 0, address: %s}]}", "consolePlugin: {address: %s}"]
)
def test_what_can_be_no_name_of_a_host_is_refused(where: str, name: str) -> None:
    assert "must be a host's name" in "\n".join(problems(f"spec: {{{where % name}}}"))


def test_aliases_that_unfold_without_end_are_refused_before_they_unfold() -> None:
    laughs = "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
    for name, before in zip("bcdefghi", "abcdefgh", strict=True):
        laughs += f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
    assert problems(laughs) == ["(document): unfolds to more than 50000 values; use fewer aliases (*name)"]


def test_our_document_is_found_among_others_of_a_manifest() -> None:
    loaded = loads("apiVersion: v1\nkind: Namespace\nmetadata: {name: flow-namespace}\n---\n" + GIVEN)
    assert loaded.document == loads(GIVEN).document
    assert loaded.lines["spec.logLevel"] == 13


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*: No such file or directory"):
        load(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"spec: {} # \xe4")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load(tmp_path / "latin.yaml")


def test_a_file_with_a_byte_order_mark_loads(tmp_path: Path) -> None:
    (tmp_path / "bom.yaml").write_text("\ufeffspec: {logLevel: debug}", encoding="utf-8")
    assert load(tmp_path / "bom.yaml").document.spec.log_level == "debug"
