# SPDX-License-Identifier: Apache-2.0
"""The console's npm package: every version that is installed is locked, by its hash."""

from __future__ import annotations

import json
from pathlib import Path

UI = Path(__file__).parents[2] / "ui"
LOCK = json.loads((UI / "package-lock.json").read_text(encoding="utf-8"))


def test_every_locked_package_has_a_hash() -> None:
    assert [name for name, entry in LOCK["packages"].items() if name and "integrity" not in entry] == []


def test_what_the_page_asks_for_is_locked() -> None:
    wanted = json.loads((UI / "package.json").read_text(encoding="utf-8"))
    assert LOCK["packages"][""]["dependencies"] == wanted["dependencies"]
    assert LOCK["packages"][""]["devDependencies"] == wanted["devDependencies"]
