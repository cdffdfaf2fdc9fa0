# SPDX-License-Identifier: Apache-2.0
"""Keeps a taker in step with ``--kubernetes-objects PATH``: reads it all before it is ready, then follows it.

Before: ``k8s.object_files``; after: ``kubernetes`` in the collector, ``chosen_pods`` in an agent.
One thread of its own after ``start``.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from flowgauge.k8s.changes import Change
from flowgauge.k8s.object_files import ObjectFiles, ObjectProblem
from flowgauge.runtime import logs
from flowgauge.runtime.metrics import Sample

POLL_S = 0.2
"""How late a change may be known while no flows come, if the taker does not say."""
_FRESH_S = 0.01
"""How late it may be known to flows: nobody's first packet is exported, received and decoded within it."""
_MAX_PROBLEMS = 100
_STOP_WITHIN_S = 5.0

_log = logs.get("objects")


class Taker(Protocol):
    """Who gets the changes, one after the other: :class:`flowgauge.enrich.kubernetes.KubernetesIndex` is one."""

    def apply(self, change: Change) -> None:
        """Takes over one change."""


class ObjectsSource:
    """The Kubernetes objects in a file or folder.

    Args:
        path: a file as ``kubectl get -o json`` prints it, an event log, or a folder of such files.
        taker: gets every change.
        settled: called when a taker got all that there was to take.
        poll_s: how late a change may be known while nobody calls ``catch_up``.

    Attributes:
        problems: the last objects that could not be read.
        malformed: how many there were in all.
        applied: changes that the taker got.
    """

    def __init__(self, path: Path, taker: Taker, settled: Callable[[], None] = lambda: None, *,
                 poll_s: float = POLL_S) -> None:  # fmt: skip
        self.problems: deque[ObjectProblem] = deque(maxlen=_MAX_PROBLEMS)
        self.malformed = self.applied = 0
        self._path, self._taker, self._settled = path, taker, settled
        self._poll_s = poll_s
        self._files = ObjectFiles(path)
        self._stopping = threading.Event()
        self._complete = False
        self._limit = logs.RateLimit()
        self._turn, self._looked_at = threading.Lock(), 0.0
        self._thread = threading.Thread(target=self._follow, name="objects", daemon=True)

    def start(self) -> None:
        """Returns when everything that is there was read.

        Raises:
            UsageError: there is nothing at the path.
        """
        self._files.check()
        self._look()
        self._complete = True
        _log.info("objects_read", path=str(self._path), changes=self.applied, malformed=self.malformed)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; safe to call twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_WITHIN_S)

    def ready(self) -> bool:
        """True while changes are followed."""
        return self._complete and self._thread.is_alive()

    def samples(self) -> Iterable[Sample]:
        """What ``/metrics`` tells of this source."""
        return [
            Sample("objects_changes", "Changes of Kubernetes objects read.", self.applied, cumulative=True),
            Sample("objects_malformed", "Kubernetes objects left out as malformed.", self.malformed, cumulative=True),
        ]

    def catch_up(self) -> None:
        """Takes what has been written until now, from any thread: flows that come next may be of a pod that is as new."""
        if self._complete and time.monotonic() - self._looked_at > _FRESH_S:
            self._look_again()

    def _follow(self) -> None:
        try:
            while not self._stopping.wait(self._poll_s):
                self._look_again()
        finally:
            with self._turn:
                self._files.close()

    def _look_again(self) -> None:
        try:
            self._look()
        except OSError as error:  # the file system, for a moment: what is known stays known
            self._tell("objects_unreadable", error=str(error))

    def _look(self) -> None:
        with self._turn:
            if not self._stopping.is_set():
                self._looked_at = time.monotonic()
                self._take(self._files.poll())

    def _take(self, found: Iterator[Change | ObjectProblem]) -> None:
        before = self.applied
        for one in found:
            if isinstance(one, Change):
                self._taker.apply(one)
                self.applied += 1
            else:
                self.malformed += 1
                self.problems.append(one)
                self._tell(
                    "object_malformed", file=one.file, line=one.line, path=one.path, expected=one.expected, found=one.found
                )
        if self.applied != before:
            self._settled()

    def _tell(self, event: str, **about: object) -> None:
        allowed, held_back = self._limit.allow(event)
        if allowed:
            _log.warning(event, **about, held_back=held_back)
