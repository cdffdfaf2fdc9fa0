# SPDX-License-Identifier: Apache-2.0
"""Faults whose process was killed (``kill -9``): the rules that they leave behind drop on, and nobody tells the demo how many.

So the demo takes them away before its last acts, and what they dropped is no difference in its report.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Mapping
from pathlib import Path

from flowgauge.demo.fault import kinds
from flowgauge.demo.scene_file import Scene

_ENDS_WITHIN_S = 30.0
"""A fault looks for the scene's file five times a second, and then takes its rule away: longer on a busy machine."""
_POLL_S = 0.1


def lock_path(folder: Path, kind: str) -> Path:
    """The file that a fault of this kind keeps locked as long as its process lives."""
    return folder / f"fault-{kind}.lock"


def end(scene: Scene) -> Mapping[str, int]:
    """Takes away what killed faults left, once the others have seen that the scene ends: kind → packets that it dropped."""
    found = dict[str, int]()
    for kind, table in kinds.DROPPING.items():
        if _is_over(lock_path(Path(scene.folder), kind)) and (packets := kinds.take_away(scene, table)):
            found[kind] = packets
    return found


def _is_over(lock: Path) -> bool:
    """Whether no process of a fault that ever was lives any more; it has some time."""
    deadline = time.monotonic() + _ENDS_WITHIN_S
    while lock.exists():
        with lock.open(encoding="ascii") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
            else:
                return True
        time.sleep(_POLL_S)
    return False
