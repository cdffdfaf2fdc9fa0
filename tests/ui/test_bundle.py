# SPDX-License-Identifier: Apache-2.0
"""What the browser fetches before it shows anything: small, from nowhere else, and without inline scripts."""

from __future__ import annotations

import gzip
import re

import pytest

from flowgauge.console.routes.static import BUILT

SHELL_BYTES = 250_000
"""Compressed; a second on a slow link (2 Mbit/s). Charts come after it."""

pytestmark = pytest.mark.usefixtures("built")


def first_files() -> list[str]:
    """Scripts and styles that the page itself names."""
    return re.findall(r'(?:src|href)="(/assets/[^"]+\.(?:js|css))"', (BUILT / "index.html").read_text(encoding="utf-8"))


def test_the_shell_is_small_and_charts_are_not_part_of_it() -> None:
    names = first_files()
    assert len(names) >= 2
    assert sum(len(gzip.compress((BUILT / name[1:]).read_bytes())) for name in names) < SHELL_BYTES
    texts = [(BUILT / name[1:]).read_text(encoding="utf-8") for name in names]
    assert not any("brushEnd" in text for text in texts)


def test_the_page_has_no_inline_script_and_no_foreign_host() -> None:
    """Its content security policy would refuse them."""
    page = (BUILT / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*\ssrc=)[^>]*>", page) == []
    assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', page) == []


def test_no_source_of_ours_names_a_colour_instead_of_a_token() -> None:
    """Both themes follow PatternFly's tokens."""
    styles = (BUILT.parents[4] / "ui/src").rglob("*.css")
    assert [str(path.name) for path in styles if re.search(r":\s*[^;]*#[0-9a-fA-F]{3,8}\b", path.read_text())] == []
