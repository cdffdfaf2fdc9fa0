# SPDX-License-Identifier: Apache-2.0
"""The running instance's state file: how any command finds what ``flowgauge run`` or ``flowgauge demo`` started.

The file holds no secret. Root writes it below /run/flowgauge, readable by everybody, so that the user who called
``sudo make demo`` finds it too; others write it to their own runtime folder.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

_FILE = "instance.json"
SYSTEM_DIR = Path("/run/flowgauge")
RUNTIME_DIR_VARIABLE = "FLOWGAUGE_RUNTIME_DIR"


@dataclass(slots=True)
class Instance:
    """What is running.

    Attributes:
        pid: the supervisor's process.
        kind: ``run`` or ``demo``.
        console_url: base URL of console and API, without a trailing slash.
        collector_url: base URL of the collector's own HTTP (metrics, live tap).
        log_dir: folder with one log file per part (``agent-node-a.log``, ``collector.log``, ``store.log``, ``console.log``).
        data_dir: folder of the embedded store.
        objects_path: Kubernetes objects the collector reads, or empty.
        parts: part → base URL of its own HTTP (``agent-node-a`` → ``http://127.0.0.1:9056``).
        extra: what only the demo has: the route's URLs and the like.
    """

    pid: int
    kind: str
    console_url: str = ""
    collector_url: str = ""
    log_dir: str = ""
    data_dir: str = ""
    objects_path: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)


def user_dir() -> Path:
    """The runtime folder of the calling user, made when missing: /run/flowgauge for root.

    ``FLOWGAUGE_RUNTIME_DIR`` names another one: several instances can then run side by side.
    """
    if chosen := os.environ.get(RUNTIME_DIR_VARIABLE):
        path = Path(chosen)
    elif os.geteuid() == 0:
        path = SYSTEM_DIR
    elif base := os.environ.get("XDG_RUNTIME_DIR"):
        path = Path(base) / "flowgauge"
    else:
        path = Path(tempfile.gettempdir()) / f"flowgauge-{os.geteuid()}"
    path.mkdir(mode=0o755, parents=True, exist_ok=True)
    return path


def publish(instance: Instance) -> Path:
    """Writes the state file (atomically, mode 0644) and returns its path."""
    path = user_dir() / _FILE
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(asdict(instance), indent=1), encoding="utf-8")
    draft.chmod(0o644)
    draft.replace(path)
    return path


def withdraw() -> None:
    """Removes the calling user's state file."""
    (user_dir() / _FILE).unlink(missing_ok=True)


def find() -> Instance | None:
    """The running instance: the caller's own, else the system's; None when none is alive."""
    folders = [user_dir()] if os.environ.get(RUNTIME_DIR_VARIABLE) else [user_dir(), SYSTEM_DIR]
    for path in (folder / _FILE for folder in folders):
        try:
            found = Instance(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue
        if Path(f"/proc/{found.pid}").exists():
            return found
    return None
