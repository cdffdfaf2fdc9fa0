# SPDX-License-Identifier: Apache-2.0
"""What the sidecars said at their end: how many connections they made over their pods' loopback. Read by the report."""

from __future__ import annotations

import re
from pathlib import Path

_SAID = re.compile(r"^sidecar: (\d+) connections$", re.MULTILINE)


def connections(log_dir: Path, workload: str) -> int:
    """How many those of every pod of ``workload`` opened that there was, from the pods' logs."""
    logs = (log.read_text("utf-8", "replace") for log in sorted(log_dir.glob(f"{workload}-*.log")))
    return sum(int(said) for log in logs for said in _SAID.findall(log))
