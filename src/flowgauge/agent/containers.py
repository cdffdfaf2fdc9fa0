# SPDX-License-Identifier: Apache-2.0
"""Which container and pod a control group belongs to, by its path alone: no API server, no container runtime is asked.

The kubelet and the runtimes put identifiers into the names of the folders, differently by cgroup driver:

=================  ======================================================================================
systemd driver     ``kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/crio-ID.scope``
cgroupfs driver    ``kubepods/burstable/podUID/ID``
without a pod      ``system.slice/docker-ID.scope``, ``docker/ID``, ``machine.slice/libpod-ID.scope``
=================  ======================================================================================

ID has 64 hexadecimal digits. UID is a UUID (with ``_`` for ``-`` below systemd), of a static pod 32 digits. A container may
have control groups of its own below.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flowgauge.runtime import logs
from flowgauge.runtime.cgroups import mount_point

CONTAINER_DIGITS = 12
"""As much of a container's identifier as ``crictl ps`` and ``docker ps`` show, and take."""
MAX_CGROUPS = 65_536
"""Folders that are looked at; a node has some hundreds."""

_UID = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?=/|$)")
_CONTAINER = re.compile(r"(?:^|[/-])([0-9a-f]{64})(?:\.scope)?(?=/|$)")

_log = logs.get("agent")


@dataclass(frozen=True, slots=True)
class Container:
    """What the path of a control group tells; empty where it does not."""

    container: str = ""
    pod_uid: str = ""


NOBODY = Container()


def container_of(path: str) -> Container:
    """Container and pod of a control group's path below the root of its hierarchy; of nested ones the innermost."""
    containers, pods = _CONTAINER.findall(path), _UID.findall(path)
    return Container(containers[-1][:CONTAINER_DIGITS] if containers else "", pods[-1].replace("_", "-") if pods else "")


class Containers:
    """Control groups by number (the inode of their folder), read anew when one is asked for that is not known.

    Args:
        root: of the version 2 hierarchy; None: where this machine has it.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._known: dict[int, Container] = {}

    def find(self, cgroups: list[int]) -> list[Container]:
        """The container of each control group; ``NOBODY`` for one that is none's, or that is gone and was never seen."""
        if not self._known.keys() >= set(cgroups):
            self._read()
            for cgroup in cgroups:
                self._known.setdefault(cgroup, NOBODY)
        return [self._known[cgroup] for cgroup in cgroups]

    def _read(self) -> None:
        """Adds what is there now; what was there before is kept as long as there is room, for connections just ended."""
        try:
            root = self._root or mount_point()
            found = dict(_folders(root)) if root is not None else {}
        except OSError as error:
            _log.warning("cgroups_not_read", error=str(error))
            return
        if len(self._known) + len(found) > 2 * MAX_CGROUPS:
            self._known.clear()
        self._known |= found


def _folders(root: Path) -> Iterator[tuple[int, Container]]:
    for count, (folder, below, _) in enumerate(os.walk(root)):
        if count == MAX_CGROUPS:
            _log.warning("cgroups_too_many", read=count)
            return
        below.sort()
        yield Path(folder).stat().st_ino, container_of(os.path.relpath(folder, root))
