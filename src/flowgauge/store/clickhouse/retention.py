# SPDX-License-Identifier: Apache-2.0
"""Keeps the disk from filling: drops hours past their age, then the oldest while too little is free, then refuses writes.

The engine drops hours past their age by itself (TTL), but parts written under another retention keep theirs: here a changed
retention takes effect at once. Runs in the embedded store's process, every few seconds, on its own thread.
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

_TELLS_OF_LOSSES = "ledger"
"""The table of counters: while flows are refused it says how many are lost, and takes a few KiB a minute."""

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

    @property
    def spent(self) -> bool:
        """Whether half of what must stay free is gone, too: the other half is for the engine alone."""
        return self.free < self.needed // 2


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
        retention_hours: age past which an hour goes.
    """

    def __init__(self, execute: Execute, space: Callable[[], Space], where: Path, *, retention_hours: int) -> None:
        self._execute, self._space, self._where, self._retention_hours = execute, space, where, retention_hours
        self.problem = ""
        """Why inserts are refused, or empty."""
        self.partitions_dropped = 0

    def drop_expired(self) -> list[str]:
        """Drops the hours of which every flow is past its age; returns the partitions it dropped."""
        expired = expired_partitions(self._execute, self._retention_hours)
        for partition in expired:
            self._execute(_drop(partition))
        return expired

    def check(self) -> list[str]:
        """Drops the oldest hours, never the newest, until enough is free; returns the partitions it dropped."""
        dropped: list[str] = []
        space = self._space()
        if space.short:
            partitions = oldest_partitions(self._execute)
            for partition in partitions[:-1]:
                self._execute(_drop(partition))
                dropped.append(partition)
                space = self._space()
                if not space.short:
                    break
        self.partitions_dropped += len(dropped)
        if dropped:
            _log.warning("store_dropped_oldest_hours", hours=len(dropped), free_bytes=space.free, needed_bytes=space.needed)
        self._note(space)
        return dropped

    def refusal(self, table: str) -> str:
        """Why inserts into ``table`` are refused, or empty: as the disk is now, which may fill up between two checks."""
        space = self._space()
        if space.spent:
            return self.problem or self._lacking(space)
        return "" if table == _TELLS_OF_LOSSES else self.problem

    def _note(self, space: Space) -> None:
        problem = ""
        if space.short:
            problem = f"{self._lacking(space)}, and no older hour is left to drop: free space, or lower storage.retention"
        if problem and not self.problem:
            _log.error("store_disk_full", detail=problem)
        if self.problem and not problem:
            _log.info("store_disk_has_room_again")
        self.problem = problem

    def _lacking(self, space: Space) -> str:
        return f"the disk of {self._where} has {space.free >> 20} MiB free, {space.needed >> 20} MiB are needed"


_PARTS = "FROM system.parts WHERE database = currentDatabase() AND table = 'flows' AND active GROUP BY partition_id"


def oldest_partitions(execute: Execute) -> list[str]:
    """Identifiers of the hourly partitions of ``flows``, oldest first."""
    return [row[0] for row in execute(f"SELECT partition_id {_PARTS} ORDER BY min(min_time)")]


def expired_partitions(execute: Execute, retention_hours: int) -> list[str]:
    """Identifiers of the partitions whose newest flow is older than ``retention_hours``, oldest first."""
    past = f"HAVING max(max_time) < now() - INTERVAL {int(retention_hours)} HOUR"
    return [row[0] for row in execute(f"SELECT partition_id {_PARTS} {past} ORDER BY min(min_time)")]


def _drop(partition: str) -> str:
    return f"ALTER TABLE flows DROP PARTITION ID '{partition}'"
