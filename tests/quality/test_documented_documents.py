# SPDX-License-Identifier: Apache-2.0
"""The documents that pages show are valid, and ``config check`` says what each of their settings does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from flowgauge.config import yaml_text
from flowgauge.config.check import check
from flowgauge.config.load import loads

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```ya?ml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECTIONS = {"exporter", "collector", "storage", "consolePlugin"}


def documented() -> Iterator[tuple[str, str]]:
    """Where it stands, and the document; a section alone, without ``spec:``, is meant as one and is none."""
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
        for found in BLOCK.finditer(path.read_text(encoding="utf-8")):
            value = yaml_text.parse(found[1], str(path))[0].value
            if isinstance(value, dict) and {"spec", *SECTIONS} & value.keys():
                yield f"{path.relative_to(ROOT)}: {found[1].splitlines()[0]}", found[1]


def settings(text: str) -> set[str]:
    """The paths of a document's settings: what stands in a section, or alone; a list or mapping there is one."""
    spec = yaml_text.parse(text, "")[0].value["spec"]
    sections = {name: value for name, value in spec.items() if isinstance(value, dict)}
    within = {f"spec.{name}.{field}" for name, section in sections.items() for field in section}
    return within | {f"spec.{name}" for name in spec.keys() - sections.keys()}


def test_every_documented_document_is_valid_and_each_of_its_settings_has_its_sentence() -> None:
    seen = 0
    for where, text in documented():
        said = [finding for finding in check(loads(text, where)) if finding.line and finding.text]
        paths = {finding.path for finding in said}
        explained = paths | {path.rpartition(".")[0] for path in paths}
        assert not settings(text) - explained, where
        seen += 1
    assert seen > 15
