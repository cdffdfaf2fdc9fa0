# SPDX-License-Identifier: Apache-2.0
"""What ``flowgauge run`` finds out about this machine: the data folder, ports, whether an agent can run, the token."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from flowgauge.agent import privileges
from flowgauge.config.model import ExporterType, Spec
from flowgauge.errors import EnvironmentProblem
from flowgauge.run.part import free_port, is_free

SERVICE_DATA_DIR = Path("/var/lib/flowgauge")


def data_dir_of(chosen: Path | None) -> Path:
    """As ``data_dir``, but it is not made."""
    return chosen or (SERVICE_DATA_DIR if os.geteuid() == 0 else _user_data_dir())


def data_dir(chosen: Path | None) -> Path:
    """The folder for flows, logs and state, made when missing: by default /var/lib/flowgauge for root, else the user's."""
    folder = data_dir_of(chosen)
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        return folder.resolve()
    except OSError as error:
        raise EnvironmentProblem(f"cannot make the data folder {folder}: {error.strerror}; give --data-dir") from error


def why_no_agent(spec: Spec) -> str:
    """One sentence on why no agent runs here; empty when one can."""
    if not spec.exporter.enable:
        return "spec.exporter.enable is false"
    if spec.exporter.type is not ExporterType.EBPF:
        return f"spec.exporter.type is {spec.exporter.type}"
    lacking = privileges.missing(privileges.effective(), netns=False)
    return privileges.sentence(lacking) if lacking and not privileges.may_capture() else ""


def port_or_free(wanted: int) -> int:
    """``wanted`` when nobody listens there, else a free port: metrics are no reason not to start."""
    return wanted if is_free(wanted) else free_port()


def kept_token(folder: Path, part: str) -> tuple[str, Path]:
    """The token for a console beyond loopback, or for agents, and the file that keeps it from run to run (mode 0600)."""
    path = folder / "state" / f"{part}-token"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "r+", encoding="ascii") as stream:
            token = stream.read().strip()
            if not token:
                token = secrets.token_urlsafe(24)
                stream.write(f"{token}\n")
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(f"cannot keep the {part}'s token in {path}: {error}") from error
    return token, path


def _user_data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local/share") / "flowgauge"
