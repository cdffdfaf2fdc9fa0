# SPDX-License-Identifier: Apache-2.0
"""A progress bar on standard error while files are read: only where somebody sees it, and nothing else is shown there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

QUIET_S = 0.5
"""Files read in less time show no bar."""
_REDRAW_S = 0.1


class Progress:
    """How far the current file is read, by bytes; nothing unless ``shown``."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._file: IO[bytes] | None = None
        self._bar: Any = None
        self._path = Path()
        self._next = 0.0

    @contextmanager
    def of(self, path: Path, file: IO[bytes]) -> Iterator[None]:
        """Shows the progress of reading ``file`` while the block runs; pipes have none."""
        self._path, self._file = path, file if self._shown and file.seekable() else None
        self._next = time.monotonic() + QUIET_S
        try:
            yield
        finally:
            self.clear()
            self._file = None

    def advance(self) -> None:
        """Draws the bar anew, if it is time."""
        if self._file is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _REDRAW_S
        if self._bar is None:
            self._bar = _bar(str(self._path.name), os.fstat(self._file.fileno()).st_size)
        self._bar.update(self._bar.task_ids[0], completed=self._file.tell())
        self._bar.refresh()

    def clear(self) -> None:
        """Takes the bar away: a line is to be written, or the file has been read."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _bar(name: str, total: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), auto_refresh=False, transient=True,
    )  # fmt: skip
    bar.add_task(name, total=total)
    bar.start()
    return bar
