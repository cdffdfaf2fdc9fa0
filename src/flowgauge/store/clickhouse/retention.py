# SPDX-License-Identifier: Apache-2.0
"""Keeps the disk from filling: drops the oldest hours while too little is free, and refuses writes when none is left.

The engine drops hours that are past their age by itself (TTL); this is for disks smaller than the retention. Runs in the
embedded store's process, once every few seconds, on its own thread.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flowgauge.runtime import logs
from flowgauge.store.clickhouse.migrate import Execute

MIN_FREE_SHARE = 0.10
MIN_FREE_CAP_BYTES = 5 << 30
"""A tenth of the disk is kept free for merges, but never more than this: a tenth of a large disk is no need of ours."""

_log = logs.get("store")


@dataclass(frozen=True, slots=True)
class Space:
    """A disk's state in bytes."""

    total: int
    free: int

    @property
    def needed(self) -> int:
        """What must stay free."""
        return min(int(self.total * MIN_FREE_SHARE), MIN_FREE_CAP_BYTES)

    @property
    def short(self) -> bool:
        """Whether too little is free."""
        return self.free < self.needed


def disk_space(path: Path) -> Space:
    """The state of the disk that holds ``path``."""
    usage = shutil.disk_usage(path)
    return Space(usage.total, usage.free)


class SpaceGuard:
    """Drops partitions while the disk is short.

    Args:
        execute: runs one statement with all rights.
        space: gives the disk's state.
        where: the folder, for messages.
    """

    def __init__(self, execute: Execute, space: Callable[[], Space], where: Path) -> None:
        self._execute, self._space, self._where = execute, space, where
        self.problem = ""
        """Why inserts are refused, or empty."""
        self.partitions_dropped = 0

    def check(self) -> list[str]:
        """Drops the oldest hours, never the newest, until enough is free; returns the partitions it dropped."""
        dropped: list[str] = []
        space = self._space()
        if space.short:
            partitions = oldest_partitions(self._execute)
            for partition in partitions[:-1]:
                self._execute(f"ALTER TABLE flows DROP PARTITION ID '{partition}'")
                dropped.append(partition)
                space = self._space()
                if not space.short:
                    break
        self.partitions_dropped += len(dropped)
        if dropped:
            _log.warning("store_dropped_oldest_hours", hours=len(dropped), free_bytes=space.free, needed_bytes=space.needed)
        self._note(space)
        return dropped

    def _note(self, space: Space) -> None:
        problem = ""
        if space.short:
            problem = (
                f"the disk of {self._where} has {space.free >> 20} MiB free, {space.needed >> 20} MiB are needed, and no older "
                "hour is left to drop: free space, or lower storage.retention"
            )
        if problem and not self.problem:
            _log.error("store_disk_full", detail=problem)
        if self.problem and not problem:
            _log.info("store_disk_has_room_again")
        self.problem = problem


def oldest_partitions(execute: Execute) -> list[str]:
    """Identifiers of the hourly partitions of ``flows``, oldest first."""
    rows = execute(
        "SELECT partition_id FROM system.parts WHERE database = currentDatabase() AND table = 'flows' AND active "
        "GROUP BY partition_id ORDER BY min(min_time)"
    )
    return [row[0] for row in rows]
