# SPDX-License-Identifier: Apache-2.0
"""Every document that was ever valid loads for ever and keeps its meaning: ``tests/golden/config/NAME/{in,expected}.yaml``.

A case is added by dropping a folder with ``in.yaml``; ``FLOWGAUGE_UPDATE_GOLDEN=1`` writes ``expected.yaml``, to be reviewed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from flowgauge.config.load import load

CASES = sorted((Path(__file__).parents[1] / "golden/config").iterdir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_document_keeps_its_meaning(case: Path) -> None:
    document = load(case / "in.yaml").document
    meaning = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    expected = case / "expected.yaml"
    if os.environ.get("FLOWGAUGE_UPDATE_GOLDEN") == "1":
        expected.write_text(yaml.safe_dump(meaning, sort_keys=False), encoding="utf-8")
    assert meaning == yaml.safe_load(expected.read_text(encoding="utf-8"))


def test_there_are_cases_with_every_section() -> None:
    names = {case.name for case in CASES}
    assert {"given", "bare_spec", "everything"} <= names
