# SPDX-License-Identifier: Apache-2.0
"""Flag beats environment beats document beats default, and every value tells where it came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowgauge.config.effective import Flag, effective
from flowgauge.config.environment import as_environment, variables
from flowgauge.errors import ConfigError


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "flowcollector.yaml"
    path.write_text("spec:\n  exporter:\n    sampling: 10\n    exportInterval: 2s\n    maxFlows: 1000\n")
    return path


def origins(path: Path | None, flags: tuple[Flag, ...], environ: dict[str, str]) -> dict[str, tuple[object, str]]:
    found = effective(path, flags, environ)
    return {setting.path: (setting.value, setting.origin) for setting in found.settings()}


def test_the_four_layers_win_in_order_and_are_named(document: Path) -> None:
    found = origins(
        document,
        (Flag("--sampling", "spec.exporter.sampling", 30),),
        {"FLOWGAUGE_EXPORTER__SAMPLING": "20", "FLOWGAUGE_EXPORTER__EXPORT_INTERVAL": "1s"},
    )
    assert found["spec.exporter.sampling"] == (30, "--sampling")
    assert found["spec.exporter.exportInterval"] == ("1s", "FLOWGAUGE_EXPORTER__EXPORT_INTERVAL")
    assert found["spec.exporter.maxFlows"] == (1000, f"{document} line 5")
    assert found["spec.storage.retention"] == ("7d", "default")


def test_values_of_variables_are_yaml() -> None:
    found = origins(
        None,
        (),
        {
            "FLOWGAUGE_EXPORTER__INTERFACES": "[eth0, /^veth/]",
            "FLOWGAUGE_CONSOLE_PLUGIN__ENABLE": "false",
            "FLOWGAUGE_LOG_LEVELS__AGENT": "trace",
        },
    )
    assert found["spec.exporter.interfaces"][0] == ["eth0", "/^veth/"]
    assert found["spec.consolePlugin.enable"][0] is False
    assert found["spec.logLevels"] == ({"agent": "trace"}, "FLOWGAUGE_LOG_LEVELS__AGENT")


def test_every_setting_has_a_variable_that_sets_it() -> None:
    paths = {setting.path for setting in effective(None, (), {}).settings()}
    assert set(variables().values()) == paths
    assert variables()["FLOWGAUGE_COLLECTOR__ENRICHMENT__SUBNET_LABELS"] == "spec.collector.enrichment.subnetLabels"


def test_a_misspelt_variable_and_a_wrong_value_are_told_together() -> None:
    with pytest.raises(ConfigError) as raised:
        effective(
            None, (), {"FLOWGAUGE_EXPORTR__SAMPLING": "5", "FLOWGAUGE_EXPORTER__SAMPLING": "0", "FLOWGAUGE_LOG_LEVEL": "["}
        )
    told = [str(problem) for problem in raised.value.problems]
    assert len([text for text in told if text.startswith("FLOWGAUGE_LOG_LEVEL: is not YAML")]) == 1
    assert "FLOWGAUGE_EXPORTR__SAMPLING: sets nothing; did you mean FLOWGAUGE_EXPORTER__SAMPLING?" in told
    assert "FLOWGAUGE_EXPORTER__SAMPLING (spec.exporter.sampling): must be at least 1, not 0" in told


def test_variables_that_are_no_settings_are_left_alone() -> None:
    assert origins(None, (), {"FLOWGAUGE_CONSOLE_TOKEN": "x", "FLOWGAUGE_PORT": "tcp://1.2.3.4:5"}) == origins(None, (), {})


def test_a_flag_for_a_field_that_is_none_names_the_flag() -> None:
    with pytest.raises(
        ConfigError, match=r"--set exporter.samplng \(spec.exporter.samplng\): there is no such field; did you mean"
    ):
        effective(None, (Flag("--set exporter.samplng", "spec.exporter.samplng", 3),), {})


def test_flags_handed_on_as_environment_mean_the_same(document: Path) -> None:
    values = {"spec.exporter.interfaces": ["eth0"], "spec.storage.retention": "9d", "spec.logLevels.store": "debug"}
    flags = tuple(Flag("--set", path, value) for path, value in values.items())
    assert effective(document, (), as_environment(values)).spec == effective(document, flags, {}).spec
