# SPDX-License-Identifier: Apache-2.0
"""``flowgauge collect --read``: files into the store, with a progress bar, and what became of their flows."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from flowgauge.cli.decode_progress import Progress
from flowgauge.cli.units import counted
from flowgauge.collector.capture_files import listed
from flowgauge.collector.read_files import FileImport
from flowgauge.collector.settings import CollectorSettings
from flowgauge.errors import UsageError

_INTERRUPTED = 130
_LEFT_OUT = {
    "pipeline_late": "older than the store keeps them",
    "store_rows_failed": "not taken by the store",
    "pipeline_duplicates_dropped": "duplicates",
}


def read_files(settings: CollectorSettings, paths: Sequence[Path], dataset: str, stop: threading.Event) -> int:
    """Reads the files into a dataset, or beside the live flows; the exit status (see ``CaptureReader``)."""
    if missing := [path for path in paths if not path.exists()]:
        raise UsageError(f"{missing[0]}: {os.strerror(errno.ENOENT)}")
    progress = Progress(shown=sys.stderr.isatty())

    def say(sentence: str) -> None:
        progress.clear()
        print(f"flowgauge: {sentence}", file=sys.stderr)

    work = FileImport(settings, say, progress, stop, dataset)
    work.run(listed(paths))
    counters = work.ledger.snapshot()
    parts = [f"{counted(counters.get('store_rows_written', 0), 'flow')} of {counted(len(work.reader.files), 'file')} stored"]
    parts += [f"{counters[name]:,} {words}" for name, words in _LEFT_OUT.items() if counters.get(name)]
    print(", ".join(parts))
    if counters.get("pipeline_late") and not dataset:
        say("flows older than storage.retention would be removed at once; --dataset NAME stores them, with no expiry")
    if stop.is_set():
        return _INTERRUPTED
    return work.reader.exit_status()
