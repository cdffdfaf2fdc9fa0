# SPDX-License-Identifier: Apache-2.0
"""The documentation cannot lag: generated pages equal the code, every page is reachable, every link leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowgauge.cli.main import VERBS, real_command
from flowgauge.config.environment import variables
from flowgauge.runtime.ledger import COUNTERS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATORS = sorted((ROOT / "tools/generate").glob("[a-z]*.py"))
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("generator", GENERATORS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_is_generated_equals_the_code(generator: Path) -> None:
    done = subprocess.run([sys.executable, str(generator), "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def pages_of(nav: list[dict[str, Any]]) -> Iterator[str]:
    for entry in nav:
        for target in entry.values():
            if isinstance(target, str):
                yield target
            else:
                yield from pages_of(target)


def test_every_page_is_in_the_menu_and_every_entry_is_a_page() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    listed = list(pages_of(site["project"]["nav"]))
    assert len(listed) == len(set(listed))
    assert set(listed) == {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}


def test_every_link_of_a_page_leads_to_a_file() -> None:
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert dead == []


def test_every_file_that_a_page_names_exists() -> None:
    """Pages name files below src/flowgauge, or below the root, in backquotes."""
    named = re.compile(r"`((?:[a-z_0-9]+/)+[a-z_0-9.]+\.(?:py|h|c|md|toml|tsx?))`")
    gone = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]
        for name in named.findall(page.read_text(encoding="utf-8"))
        if not any((base / name).exists() for base in (ROOT / "src/flowgauge", ROOT))
    ]
    assert gone == []


def test_every_setting_flag_and_counter_is_in_the_reference() -> None:
    configuration = (DOCS / "reference/configuration.md").read_text(encoding="utf-8")
    assert [name for name in variables() if f"`{name}`" not in configuration] == []
    command_line = (DOCS / "reference/cli.md").read_text(encoding="utf-8")
    flags = {option for verb in VERBS for one in _commands(real_command(verb)) for p in one.params for option in p.opts}
    assert [flag for flag in flags if flag.startswith("--") and flag not in command_line] == []
    metrics = (DOCS / "reference/metrics.md").read_text(encoding="utf-8")
    assert [counter.name for counter in COUNTERS if counter.name not in metrics] == []


def _commands(command: Any) -> list[Any]:
    return [command, *getattr(command, "commands", {}).values()]


def test_every_option_has_a_help() -> None:
    bare = [
        f"{verb.name} {p.name}"
        for verb in VERBS
        for one in _commands(real_command(verb))
        for p in one.params
        if not getattr(p, "help", None)
    ]
    assert bare == []


def test_the_site_builds_without_a_warning() -> None:
    zensical = Path(sys.executable).with_name("zensical")
    done = subprocess.run([zensical, "build", "--strict"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_make_help_lists_every_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    # Without the flags of a make that may run these tests: it would add its "Entering directory" lines.
    alone = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    done = subprocess.run(["make", "help"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True)
    assert {line.split()[0] for line in done.stdout.splitlines()} == targets
    assert targets >= {
        "help",
        "setup",
        "demo",
        "check",
        "test",
        "test-root",
        "test-ui",
        "bench",
        "fuzz",
        "ui",
        "bpf",
        "docs",
        "dist",
    }


def test_news_fragments_have_a_kind_and_begin_with_their_part() -> None:
    kinds = {entry["directory"] for entry in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]["type"]}
    fragments = list((ROOT / "changes").glob("*.md"))
    assert fragments
    for fragment in fragments:
        assert re.fullmatch(rf"\d+\.({'|'.join(kinds)})(\.\d+)?\.md", fragment.name)
        assert re.match(r"\*[a-z, ]+\*: .", fragment.read_text(encoding="utf-8"))
