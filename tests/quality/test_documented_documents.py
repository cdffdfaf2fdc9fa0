# SPDX-License-Identifier: Apache-2.0
"""The documents that pages show are valid, and ``config check`` says what each of their lines does."""

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


def test_every_documented_document_is_valid_and_each_of_its_lines_has_its_sentence() -> None:
    seen = 0
    for where, text in documented():
        said = {finding.line for finding in check(loads(text, where))}
        assert said - {0}, where
        seen += 1
    assert seen > 15
