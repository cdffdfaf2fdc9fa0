# SPDX-License-Identifier: Apache-2.0
"""What faults dropped on a pod's node before its link, as nftables counted it: the demo's report compares flows with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path

from flowgauge.demo.scene.faults import Dropped

_FILE = "drops.jsonl"


def append(folder: Path, address: str, dropped: Dropped) -> None:
    """A fault has ended that dropped packets to ``address``."""
    with (folder / _FILE).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps([address, *astuple(dropped)]) + "\n")


def read(folder: Path) -> Mapping[str, Dropped]:
    """Address → what was dropped on the way to it, over all faults."""
    path, found = folder / _FILE, dict[str, Dropped]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        address, *counted = json.loads(line)
        found.setdefault(address, Dropped()).add(Dropped(*counted))
    return found
