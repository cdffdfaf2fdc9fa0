# SPDX-License-Identifier: Apache-2.0
"""The disk spool: every decoded batch, thinned, is in a file before the pipeline has it, until the store has it.

::

    data_dir/spool/<instance>/
        lock            held (flock) by the collector that uses the folder
        ledger          its counters and the last segment that the store took: for whoever adopts the folder
        00000042.seg    one segment: frames, see ``frames``

In the normal course a file lives for a second or two, in the page cache: it is removed before the kernel writes it out, so
that what write-ahead costs is making the frames. It survives the death of the process all the same. Against power cuts, a
file that is not in the store after ``SYNC_AFTER_S`` is fsynced. The store's disk is never filled up (``RESERVE_BYTES``).

Threads: one appends and seals, one acknowledges, a thread of the spool's own syncs.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from flowgauge.collector import frames, spool_folders
from flowgauge.collector.segments import Segment
from flowgauge.collector.spool_folders import Folder
from flowgauge.config.model import Spool as SpoolSettings
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger

SYNC_AFTER_S = 1.5
"""Age at which a sealed segment is fsynced: nearly all are in the store by then."""
RESERVE_BYTES = 512 << 20
"""What the spool leaves of the file system: the store is mostly on the same, and needs room to merge."""

PIECE_ROWS = 33_000
"""Flows of a segment that are given names at once, at most, unless one batch has more: a flow takes 400 B on that way, while
the price that each piece has of its own hardly counts with so many (measured: a fifth more a flow with half of them)."""

OPEN_BYTES = 32 << 20
"""Room that is kept beside that for the segments that receive processes are writing."""

_LEAST_S = 0.1
"""Segments that are due within it are synced together."""

_log = logs.get("collector")


class Spool:
    """One collector's segments on disk, between ``start`` and ``stop``.

    Args:
        root: folder of all collectors' spools on this machine.
        settings: section ``spec.collector.spool`` of the document; ``enable`` is not looked at.
        ledger: its instance names the folder.
    """

    def __init__(self, root: Path, settings: SpoolSettings, ledger: Ledger) -> None:
        self._root, self._settings, self._ledger = root, settings, ledger
        self._lock = threading.RLock()
        self._own: Folder | None = None
        self._former: dict[str, Folder] = {}
        self._acknowledged: set[str] = set()
        self._segments: dict[str, Segment] = {}
        self._file = -1
        self._number = 0
        self.max_bytes = settings.max_bytes
        """What may be there: less than configured when the disk is nearly full; see ``limit``."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sync_all, name="spool", daemon=True)
        self._limit = logs.RateLimit()
        self.bytes = 0
        """On disk now, the open segment included."""
        self.full = False
        """Whether the newest flows find no room on disk."""
        self.problem = ""
        """Why nothing can be put on disk at the moment, or empty."""

    def start(self) -> None:
        """Makes the folder; EnvironmentProblem when that cannot be."""
        self._own = spool_folders.make(self._root, self._ledger.instance)
        self._thread.start()

    def adopt(self, running: Mapping[str, Mapping[str, int]] | None = None, ended: str = "") -> list[Segment]:
        """Takes over the folders of processes that ended; their segments that are not known yet, oldest first.

        Args:
            running: our receive processes, by instance, with their counters as last told: their folders are theirs.
            ended: the one of them that has ended.
        """
        told = running or {}
        with self._lock:
            try:
                folders = spool_folders.adopt(
                    self._root, {self._ledger.instance, *self._former, *told} - {ended}, self._acknowledged
                )
            except OSError as error:
                self._failed(error)
                return []
            adopted: list[Segment] = []
            for folder in folders:
                self._former[folder.instance] = folder
                folder.know(told.get(folder.instance, {}))
                adopted += [one for one in folder.segments() if one.token not in self._segments]
            for segment in adopted:
                self._segments[segment.token] = segment
                self.bytes += segment.size
            for folder in folders:  # else each start while the store is away would leave one that is empty
                self._forget_if_done(folder)
        rows = sum(segment.rows for segment in adopted)
        if rows:
            self._ledger.add("spool_rows_adopted", rows)
            _log.info("spool_adopted", segments=len(adopted), rows=rows, bytes=self.bytes)
        return adopted

    def others_run(self) -> bool:
        """Whether processes use folders of this spool that are not our own."""
        with self._lock:
            return spool_folders.in_use(self._root, {self._ledger.instance, *self._former})

    def take_over(self, segment: Segment) -> bool:
        """Is answerable for a segment that a receive process has sealed; False when it is shed at once."""
        with self._lock:
            self.max_bytes = self._limit_bytes(spare=OPEN_BYTES)
            self._segments[segment.token] = segment
            self.bytes += segment.size
            self.full = not self._make_room(0, segment)
            if not self.full:
                return True
            if self._remove(segment):
                self._ledger.add("spool_rows_shed", segment.rows)
                self._warn("spool_full", shed="newest", rows=segment.rows, bytes=self.bytes, limit_bytes=self.max_bytes)
            return False

    def hand_over(self, segment: Segment) -> None:
        """Somebody else is answerable for the segment now."""
        with self._lock:
            self.bytes -= segment.size
            del self._segments[segment.token]

    def stop(self, *, told: bool) -> None:
        """Ends; what the store did not take stays for the next collector, fsynced.

        Args:
            told: whether the store has the last counters: else they stay, too.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._sync(older_than_s=0)
        if self._segments:
            rows = sum(segment.rows for segment in self._segments.values())
            _log.warning("flows_left_in_spool", rows=rows, bytes=self.bytes, detail="the next start writes them to the store")
        for folder in (*self._former.values(), *([self._own] if self._own else [])):
            if told and not self._segments_of(folder):
                folder.remove()
            folder.release()

    def ready(self) -> bool:
        """True while it syncs."""
        return self._thread.is_alive()

    @property
    def segments(self) -> int:
        """Files on disk."""
        return len(self._segments)

    @property
    def former_ledgers(self) -> dict[str, dict[str, int]]:
        """Instance → counters of collectors that ended without telling the store."""
        with self._lock:
            return {instance: folder.counters for instance, folder in self._former.items() if folder.counters}

    def told(self, instances: set[str]) -> None:
        """The store has the counters of these former instances."""
        with self._lock:
            for instance in instances & self._former.keys():
                self._former[instance].counters = {}
                self._forget_if_done(self._former[instance])

    def begin(self) -> Segment:
        """A new segment, in memory only while the disk cannot be written."""
        assert self._own is not None  # noqa: S101 - `start` comes first
        with self._lock:
            self._number += 1
            segment = Segment(f"{self._own.instance}/{self._number}")
            path = self._own.path / f"{self._number:010}.seg"
            try:
                self.max_bytes = self._limit_bytes()
                self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            except OSError as error:
                self._failed(error)
            else:
                segment.path = path
                self._segments[segment.token] = segment
            return segment

    def append(self, segment: Segment, batch: FlowBatch) -> bool:
        """Puts a batch on disk as part of the segment that was begun last.

        False when that cannot be: then the segment has what it had before, and is in memory only when that is nothing.
        """
        if segment.path is None:
            return False
        data = frames.frame(batch)
        with self._lock:
            self._note_room(room=self._make_room(len(data), segment))
            try:
                if not self.full:
                    spool_folders.write(self._file, data, segment.size)
                    segment.size += len(data)
                    self.bytes += len(data)
                    self.problem = ""
                    return True
            except OSError as error:
                self._failed(error)
            if not segment.size:
                self._remove(segment)
            return False

    def seal(self, segment: Segment) -> None:
        """Nothing more is added to the segment."""
        with self._lock:
            segment.sealed_at = time.monotonic()
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
            if segment.path is not None and not segment.size:
                self._remove(segment)
        self.checkpoint()

    def read(self, segment: Segment) -> FlowBatch | None:
        """The flows of a segment in hand that is on disk; None when nothing can be read.

        It may be read more than once; what is ``damaged`` is counted with what the store has, in ``acknowledge``.
        """
        pieces = list(self.pieces(segment))
        return FlowBatch.concat(pieces) if pieces else None

    def pieces(self, segment: Segment) -> Iterator[FlowBatch]:
        """As ``read``, but in pieces of ``PIECE_ROWS`` or fewer, so that memory holds no more of it."""
        gathered, waiting = list[FlowBatch](), 0
        segment.damaged = replayed = 0
        try:
            for rows, batch in frames.read(segment.path) if segment.path else ():
                if batch is None:
                    segment.damaged += rows
                    continue
                if gathered and waiting + rows > PIECE_ROWS:
                    yield _joined(gathered)
                    waiting = 0
                gathered.append(batch)
                waiting += rows
                replayed += rows
        except OSError as error:
            self._failed(error)
            segment.damaged = segment.rows - replayed  # those before it are stored
        if segment.damaged:
            self._warn("spool_damaged", rows=segment.damaged, file=str(segment.path))
        if not segment.fresh:
            self._ledger.add("spool_rows_replayed", replayed)
        if gathered:
            yield _joined(gathered)

    def acknowledge(self, segment: Segment) -> None:
        """The store has the segment, and the ledger has counted it: it is not needed any more."""
        self._ledger.add("spool_rows_damaged", segment.damaged)
        self.checkpoint(segment.token)
        with self._lock:
            self._remove(segment)
            folder = self._former.get(segment.token.rpartition("/")[0])
            if folder is not None:
                self._forget_if_done(folder)

    def checkpoint(self, acknowledged: str = "") -> None:
        """Notes the ledger, for the case that this process dies: counted exactly as often as stored."""
        assert self._own is not None  # noqa: S101 - `start` comes first
        with self._lock:
            try:
                self._own.note(self._ledger.snapshot(), acknowledged)
            except OSError as error:
                self._failed(error)

    def limit(self) -> int:
        """What may be there now, in bytes."""
        with self._lock, contextlib.suppress(OSError):
            self.max_bytes = self._limit_bytes()
        return self.max_bytes

    def _note_room(self, *, room: bool) -> None:
        """Tells when the newest flows begin to find no room, and when they find some again."""
        if room and self.full:
            self._tell(_log.info, "spool_has_room_again", limit_bytes=self.max_bytes)
        elif not room and not self.full:
            detail = f"it leaves {RESERVE_BYTES >> 20} MiB of the disk free; what comes now is kept in memory only"
            self._warn("spool_has_no_room", bytes=self.bytes, limit_bytes=self.max_bytes, detail=detail)
        self.full = not room

    def _limit_bytes(self, spare: int = 0) -> int:
        """What may be there, the disk leaving ``spare`` bytes more than it must; OSError when it cannot be asked."""
        assert self._own is not None  # noqa: S101 - `start` comes first
        free = os.statvfs(self._own.path)
        room = free.f_bavail * free.f_frsize - RESERVE_BYTES - spare
        return min(self._settings.max_bytes, self.bytes + max(0, room))

    def _make_room(self, size: int, for_segment: Segment) -> bool:
        """Sheds until there is room; False when the newest is to be shed, or nothing can be."""
        while self.bytes + size > self.max_bytes:
            if self._settings.shed == "Newest":
                return False
            victim = next((one for one in self._segments.values() if one is not for_segment and not one.in_hand), None)
            if victim is None:
                return False
            if self._remove(victim, unless_in_hand=True):
                self._ledger.add("spool_rows_shed", victim.rows)
                self._warn("spool_full", shed="oldest", rows=victim.rows, bytes=self.bytes, limit_bytes=self.max_bytes)
        return True

    def _remove(self, segment: Segment, *, unless_in_hand: bool = False) -> bool:
        """Removes its file; whether its flows are lost by that, no copy being in memory."""
        size = segment.size
        path, lost = segment.drop_file(unless_in_hand=unless_in_hand)
        if path is not None:
            self.bytes -= size
            path.unlink(missing_ok=True)
            del self._segments[segment.token]
        return lost

    def _segments_of(self, folder: Folder) -> bool:
        return any(token.rpartition("/")[0] == folder.instance for token in self._segments)

    def _forget_if_done(self, folder: Folder) -> None:
        if not folder.counters and not self._segments_of(folder):
            del self._former[folder.instance]
            folder.remove()
            folder.release()

    def _sync_all(self) -> None:
        while not self._stopping.wait(self._due_in_s()):
            self._sync(SYNC_AFTER_S)

    def _due_in_s(self) -> float:
        """When the next segment is old enough; one that is sealed from now on is not before ``SYNC_AFTER_S``."""
        with self._lock:
            sealed_at = min((one.sealed_at for one in self._unsynced()), default=time.monotonic())
        return max(_LEAST_S, sealed_at + SYNC_AFTER_S - time.monotonic())

    def _unsynced(self) -> Iterator[Segment]:
        return (one for one in self._segments.values() if not one.synced and one.sealed_at > 0)

    def _sync(self, older_than_s: float) -> None:
        now = time.monotonic()
        with self._lock:
            due = [one for one in self._unsynced() if one.sealed_at <= now - older_than_s]
        files = [path for segment in due if (path := segment.path) is not None]  # others may remove them meanwhile
        for path in (*files, *{path.parent for path in files}):
            try:
                spool_folders.sync(path)
            except OSError as error:
                self._failed(error)
        for segment in due:
            segment.synced = True

    def _failed(self, error: OSError) -> None:
        self.problem = str(error)
        self._ledger.add("spool_write_failures")
        self._warn("spool_cannot_be_used", error=self.problem, detail="flows are kept in memory only")

    def _warn(self, event: str, **facts: object) -> None:
        self._tell(_log.warning, event, **facts)

    def _tell(self, log: Callable[..., None], event: str, **facts: object) -> None:
        allowed, held_back = self._limit.allow(event)
        if allowed:
            log(event, held_back=held_back, **facts)


def _joined(gathered: list[FlowBatch]) -> FlowBatch:
    """Them as one, and none of them left there: memory has only the one then."""
    joined = FlowBatch.concat(gathered)
    gathered.clear()
    return joined
