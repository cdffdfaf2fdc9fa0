# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001, S101, T201 - a program that checks and prints
"""Feeds the readers of capture files broken files for FUZZ_SECONDS (default 60): they must name the damage, never raise.

A file that fails is written to ``reports/fuzz/`` with its seed and ends the run with status 1. FUZZ_SEED begins elsewhere.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from capture_kit import reading
from capture_mutations import Mutator

FAILURES = Path(__file__).parents[1] / "reports/fuzz"
MAX_FILE_S = 5.0
"""CPU seconds of one file; a healthy one takes a millisecond."""


def one_file(content: bytes) -> tuple[int, bool]:
    """Reads a file; how many exports it has, and whether it is damaged."""
    started = time.process_time()
    found, _, damage = reading(content)
    assert time.process_time() - started < MAX_FILE_S
    assert sum(len(export.payload) for export in found) <= len(content)
    return len(found), bool(damage)


def main() -> int:
    """Runs until the time is over, or a file fails."""
    until = time.monotonic() + float(os.environ.get("FUZZ_SECONDS", "60"))
    seed = int(os.environ.get("FUZZ_SEED", str(time.time_ns() % 1_000_000_000)))
    mutator = Mutator(seed)
    files = exports = damaged = 0
    while time.monotonic() < until:
        content = mutator.file()
        try:
            found, broken = one_file(content)
        except Exception:  # noqa: BLE001 - whatever it is, it is the finding
            traceback.print_exc()
            FAILURES.mkdir(parents=True, exist_ok=True)
            path = FAILURES / f"captures_{seed}.bin"
            path.write_bytes(content)
            print(f"seed {seed}, file {files}: {path}", file=sys.stderr)
            return 1
        files, exports, damaged = files + 1, exports + found, damaged + broken
    print(f"captures: seed {seed}, {files:,} files, {damaged:,} damaged, {exports:,} exports read, nothing raised")
    return 0


if __name__ == "__main__":
    sys.exit(main())
