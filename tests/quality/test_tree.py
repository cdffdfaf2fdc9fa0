# SPDX-License-Identifier: Apache-2.0
"""The tree keeps its own rules: licence lines, sizes, clean hands."""

from __future__ import annotations

import re
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_LINES = 400
TABLES = {"src/flowgauge/schema/iana.py"}
"""Files that are tables: their length is that of the standard."""


def tracked(*patterns: str) -> list[Path]:
    output = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in output.splitlines() if (ROOT / line).is_file()]


def test_every_source_file_begins_with_its_licence() -> None:
    sources = tracked("*.py", "*.c", "*.h", "*.ts", "*.tsx", "*.sh", "Makefile")
    bare = [str(p.relative_to(ROOT)) for p in sources if "SPDX-License-Identifier:" not in p.read_text()[:400]]
    assert not bare


def test_ebpf_sources_may_be_used_under_gpl_or_bsd() -> None:
    sources = tracked("src/flowgauge/ebpf/programs/*.c", "src/flowgauge/ebpf/programs/*.h")
    assert sources
    assert all("GPL-2.0 OR BSD-2-Clause" in p.read_text()[:200] for p in sources)


def test_files_hold_one_concept() -> None:
    lengths = {
        str(p.relative_to(ROOT)): len(p.read_text().splitlines())
        for p in tracked("src/*.py", "src/*.c", "ui/src/*.ts", "ui/src/*.tsx")
    }
    assert {name: n for name, n in lengths.items() if n > MAX_LINES and name not in TABLES} == {}
    assert statistics.median(n for name, n in lengths.items() if not name.endswith("__init__.py")) < 160


def test_no_two_test_files_have_the_same_name() -> None:
    # The folders of tests are no packages: pytest imports a file by its bare name and stops at a second one.
    names = [p.name for p in tracked("tests/*test_*.py")]
    assert names
    assert sorted(names) == sorted(set(names))


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    forbidden = re.compile(r"/(?:work|root|farm)/|https?://[^\s\"')]*(?:registry|hosted\.org|/simple/)")
    texts = [
        p
        for p in tracked()
        if p.suffix in {".py", ".c", ".h", ".ts", ".tsx", ".md", ".txt", ".toml", ".json", ".yml", ".yaml", ".sh", ""}
    ]
    found = [str(p.relative_to(ROOT)) for p in texts if p != Path(__file__) and forbidden.search(p.read_text(errors="replace"))]
    assert not found


def test_lock_files_record_hashes_and_no_hosts() -> None:
    for lock in tracked("requirements/*.txt"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
    assert '"resolved"' not in (ROOT / "ui/package-lock.json").read_text()
