# SPDX-License-Identifier: Apache-2.0
"""How exporters stand, as decoders see them: loss, clock, templates. Told by the decode thread, read by HTTP.

And what was learned of them, kept in files over a restart: exporters announce templates and names seldom, and flows that come
before could not be read, or would be without names.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from flowgauge.runtime import logs
from flowgauge.wire.decoded import StreamReport
from flowgauge.wire.decoder_state import StateError

TELL_S = 2.0
"""How often reports are made anew …"""
TELL_SHARE = 0.02
"""… or less often, so that making them takes no more of the decode thread's time than this: exporters may be thousands."""
SAVE_S = 60.0
"""How often templates and names are saved, if any changed."""

Key = tuple[bytes, int]
"""Address (16 bytes) and observation domain."""

_log = logs.get("collector")


class Standing:
    """The latest reports. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reports: dict[Key, list[StreamReport]] = {}

    def tell(self, reports: Iterable[StreamReport]) -> None:
        """These are all reports now."""
        found: dict[Key, list[StreamReport]] = {}
        for report in reports:
            for addr in (report.exporter_addr, *report.also_addr):
                found.setdefault((addr, report.obs_domain_id), []).append(report)
        with self._lock:
            self._reports = found

    def snapshot(self) -> dict[Key, list[StreamReport]]:
        """By exporter: one report for each protocol, session or source port; of a relay's stream for each behind it."""
        with self._lock:
            return self._reports


class Learner(Protocol):
    """Who learns what a restart should not cost."""

    def save(self) -> bytes:
        """What it knows."""

    def restore(self, content: bytes, now_ns: int) -> int:
        """Takes over what another one has saved; how much. ``StateError`` when that cannot be read."""


class StateFile:
    """Keeps what a learner knows in a file; ``path`` None keeps nothing.

    Args:
        what: what it is, for the log: ``templates``.
    """

    def __init__(self, path: Path | None, what: str) -> None:
        self._path, self._what = path, what

    def restore(self, learner: Learner, now_ns: int) -> None:
        """Gives a learner what another one has saved."""
        if self._path is None:
            return
        try:
            count = learner.restore(self._path.read_bytes(), now_ns)
        except FileNotFoundError:
            return
        except (OSError, StateError) as error:
            _log.warning(f"{self._what}_not_restored", file=str(self._path), error=str(error))
            return
        if count:
            _log.info(f"{self._what}_restored", **{self._what: count})

    def save(self, learner: Learner) -> None:
        """Keeps what it knows."""
        if self._path is None:
            return
        new = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.write_bytes(learner.save())
            new.replace(self._path)
        except OSError as error:
            _log.warning(f"{self._what}_not_saved", file=str(self._path), error=str(error))
