# SPDX-License-Identifier: Apache-2.0
"""How exporters stand, as decoders see them: loss, clock, templates. Told by the decode thread, read by HTTP.

And what was learned of them, kept in files over a restart: exporters announce templates and names seldom, and flows that come
before could not be read, or would be without names.
"""

from __future__ import annotations

import glob
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from flowgauge.collector import steering
from flowgauge.runtime import logs
from flowgauge.wire.decoded import StreamReport
from flowgauge.wire.decoder import Decoder
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
        self._reports: dict[int, list[StreamReport]] = {}

    def tell(self, reports: Iterable[StreamReport], *, process: int = 0) -> None:
        """These are all reports of a receive process now."""
        found = list(reports)
        with self._lock:
            self._reports[process] = found

    def reports(self) -> list[StreamReport]:
        """All of them."""
        with self._lock:
            return [report for told in self._reports.values() for report in told]

    def snapshot(self) -> dict[Key, list[StreamReport]]:
        """By exporter: one report for each protocol, session or source port; of a relay's stream for each behind it."""
        found: dict[Key, list[StreamReport]] = {}
        for report in self.reports():
            for addr in (report.exporter_addr, *report.also_addr):
                found.setdefault((addr, report.obs_domain_id), []).append(report)
        return found


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


class TemplateFiles:
    """Templates of the datagrams' decoder, a file for each receive process; ``folder`` None keeps none.

    Each process takes over those of its own exporters, whichever process had them before: there may have been another number.

    Args:
        folder: where the files are.
        name: of the collector.
        number, processes: whose templates are kept here, and among how many exporters are dealt out.
    """

    def __init__(self, folder: Path | None, name: str, number: int = 0, processes: int = 1) -> None:
        self._folder, self._stem, self._number, self._processes = folder, f"templates-{name}", number, processes

    def restore(self, decoder: Decoder, now_ns: int) -> None:
        """Gives a decoder what others have saved, the latest first: what is known already is not replaced."""
        for path in sorted(self._saved(), key=_saved_at, reverse=True):
            StateFile(path, "templates").restore(_Ours(decoder, self._is_ours), now_ns)

    def save(self, decoder: Decoder) -> None:
        """Keeps what the decoder knows."""
        if self._folder is not None:
            StateFile(self._path(self._number), "templates").save(decoder)

    def forget_others(self) -> None:
        """Removes the files of processes that are no more; all that are have taken over what is theirs."""
        if self._folder is not None:
            for path in set(self._saved()) - {self._path(number) for number in range(self._processes)}:
                path.unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        assert self._folder is not None  # noqa: S101 - callers look
        return self._folder / (f"{self._stem}~{number}" if number else self._stem)

    def _saved(self) -> list[Path]:
        """The files there are."""
        if self._folder is None:
            return []
        found = [path for path in self._folder.glob(f"{glob.escape(self._stem)}~*") if path.name.rpartition("~")[2].isdigit()]
        return [self._path(0), *found]

    def _is_ours(self, exporter_addr: bytes) -> bool:
        return steering.place(exporter_addr, self._processes) == self._number


class _Ours:
    """A decoder that takes over the state of some exporters only."""

    def __init__(self, decoder: Decoder, wanted: Callable[[bytes], bool]) -> None:
        self._decoder, self._wanted = decoder, wanted
        self.save = decoder.save

    def restore(self, content: bytes, now_ns: int) -> int:
        """See ``Decoder.restore``."""
        return self._decoder.restore(content, now_ns, self._wanted)


def _saved_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
