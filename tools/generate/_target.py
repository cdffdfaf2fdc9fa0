# SPDX-License-Identifier: Apache-2.0
"""What the generators share: write a file, or with ``--check`` fail when it differs from what it is made of."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"


def finish(target: Path, wanted: str) -> int:
    """Writes ``wanted`` to ``target``, or compares when asked to; the exit status."""
    if "--check" in sys.argv:
        if target.is_file() and target.read_text(encoding="utf-8") == wanted:
            return 0
        print(f"{target.relative_to(ROOT)} differs from what it is made of; run: make docs", file=sys.stderr)
        return 1
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(wanted, encoding="utf-8")
    return 0
