# SPDX-License-Identifier: Apache-2.0
"""What the sidecars said at their end: how many connections they made over their pods' loopback. Read by the report."""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path

from flowgauge.demo.scene.counters import Connections

_SAID = re.compile(r"^sidecar: (\d+) connections, (\d+) refused$", re.MULTILINE)


def connections(log_dir: Path, workload: str) -> Connections:
    """Those of every pod of ``workload`` that there was, from the pods' logs; those answered were accepted in the same pod."""
    said = [
        found for log in sorted(log_dir.glob(f"{workload}-*.log")) for found in _SAID.findall(log.read_text("utf-8", "replace"))
    ]
    each = (Connections(int(opened), int(opened) - int(refused), int(refused)) for opened, refused in said)
    return reduce(Connections.plus, each, Connections())
