# SPDX-License-Identifier: Apache-2.0
"""The running instance's state file: how any command finds what ``flowgauge run`` or ``flowgauge demo`` started.

The file holds no secret. Root writes it below /run/flowgauge, readable by everybody, so that the user who called
``sudo make demo`` finds it too; others write it to their own runtime folder.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from flowgauge.errors import EnvironmentProblem

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

    Raises:
        EnvironmentProblem: it cannot be made, or is somebody else's (in /tmp anybody may have made it first).
    """
    path = _user_path()
    try:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        problem = f"the runtime folder {path} cannot be used: {error.strerror}; set {RUNTIME_DIR_VARIABLE} to another one"
        raise EnvironmentProblem(problem) from error
    if not _chosen() and (status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode)):
        raise EnvironmentProblem(f"the runtime folder {path} is somebody else's; set {RUNTIME_DIR_VARIABLE} to another one")
    return path


def _chosen() -> str:
    return os.environ.get(RUNTIME_DIR_VARIABLE, "")


def _user_path() -> Path:
    if chosen := _chosen():
        return Path(chosen)
    if os.geteuid() == 0:
        return SYSTEM_DIR
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(base) / "flowgauge"
    return Path(tempfile.gettempdir()) / f"flowgauge-{os.geteuid()}"


def publish(instance: Instance) -> Path:
    """Writes the state file (atomically, mode 0644) and returns its path; EnvironmentProblem when that cannot be."""
    path = user_dir() / _FILE
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(asdict(instance), indent=1), encoding="utf-8")
    draft.chmod(0o644)
    draft.replace(path)
    return path


def withdraw() -> None:
    """Removes the calling user's state file."""
    (_user_path() / _FILE).unlink(missing_ok=True)


def find() -> Instance | None:
    """The running instance: the caller's own, else the system's; None when none is alive.

    A file of another user but root is not believed: it would send questions, and the token with them, wherever it says.
    """
    folders = [_user_path()] if _chosen() else [_user_path(), SYSTEM_DIR]
    for path in (folder / _FILE for folder in folders):
        try:
            with path.open(encoding="utf-8") as file:
                believed = _chosen() or os.fstat(file.fileno()).st_uid in (0, os.geteuid())
                found = Instance(**json.load(file)) if believed else None
        except (OSError, ValueError, TypeError):
            continue
        if found is not None and Path(f"/proc/{found.pid}").exists():
            return found
    return None
