# SPDX-License-Identifier: Apache-2.0
"""What document, options and environment of ``flowgauge agent`` say together."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowgauge.cli.agent import _alone, _collector_flags, _settings
from flowgauge.config.model import Exporter

DOCUMENT = "spec: {collector: {address: collector.example, port: 2055, transport: TLS, tls: {certificate: c, key: k}}}"


@pytest.mark.parametrize(
    ("option", "name"),
    [("127.0.0.1:2055", "collector.example"), ("[::1]:2055", "collector.example"), ("elsewhere.example:2055", ""), ("", "")],
)
def test_a_collector_placed_on_loopback_keeps_the_name_of_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, name: str
) -> None:
    document = tmp_path / "document.yaml"
    document.write_text(DOCUMENT, encoding="utf-8")
    flags = tuple(flag for flag in _collector_flags(option) if flag.value)
    assert _settings(document, flags, {}).collector_name == name
    if option.startswith("127."):
        monkeypatch.setenv("FLOWGAUGE_COLLECTOR__ADDRESS", "renamed.example")
        assert _settings(document, flags, {}).collector_name == "renamed.example"


def test_alone_it_tells_processes_unless_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [*Exporter().features, "process"] == _alone((), {}).exporter.features
    monkeypatch.setenv("FLOWGAUGE_EXPORTER__FEATURES", "[tls]")
    assert _alone((), {}).exporter.features == ["tls"]
    assert _alone((), {}).exporter.exclude_interfaces == []
