# SPDX-License-Identifier: Apache-2.0
"""``flowgauge logs``: the logs of the running instance's parts, chosen, followed."""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from flowgauge.cli.completion import words

_LOOK_S = 0.3


def logs(
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            help="agent, collector, store, console; default: all.",
            autocompletion=words("agent", "collector", "store", "console"),
        ),
    ] = None,
    grep: Annotated[str, typer.Option("--grep", "-g", help="Only lines that match this regular expression.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing what is added, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many last (matching) lines of each part.")] = 20,
    log_dir: Annotated[Path | None, typer.Option(help="Folder of the logs; default: the running instance's.")] = None,
) -> None:
    """Shows the logs of the running instance's parts.

    Examples:
      flowgauge logs
      flowgauge logs agent collector --grep 'error|warning'
      flowgauge logs store --lines 200
      flowgauge logs --follow
    """
    pattern = _pattern(grep)
    files = _files(log_dir or _running_log_dir(), parts or [])
    several = len(files) > 1
    tails = [_Tail(path, pattern, path.stem if several else "") for path in files]
    for tail in tails:
        for line in tail.last(lines):
            print(line)
    sys.stdout.flush()
    while follow:
        for tail in tails:
            for line in tail.added():
                print(line)
        sys.stdout.flush()
        time.sleep(_LOOK_S)


class _Tail:
    """One log: its last lines, then what is added; one that was emptied is read from its beginning."""

    def __init__(self, path: Path, pattern: re.Pattern[str], label: str) -> None:
        self._path, self._pattern, self._label = path, pattern, label
        self._offset, self._partial = 0, ""

    def last(self, count: int) -> Iterator[str]:
        """The last ``count`` matching lines; later calls of ``added`` go on from here."""
        yield from deque(self.added(), maxlen=count)

    def added(self) -> Iterator[str]:
        """Matching lines since the last call; an unfinished line waits."""
        try:
            with self._path.open("rb") as stream:
                if self._path.stat().st_size < self._offset:
                    self._offset = 0
                stream.seek(self._offset)
                text = stream.read().decode("utf-8", "replace")
                self._offset = stream.tell()
        except OSError:
            return
        *whole, self._partial = (self._partial + text).split("\n")
        for line in whole:
            if self._pattern.search(line):
                yield f"{self._label}: {line}" if self._label else line


def _pattern(text: str) -> re.Pattern[str]:
    from flowgauge.errors import UsageError

    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"--grep {text}: not a regular expression: {error}") from error


def _running_log_dir() -> Path:
    from flowgauge.errors import UsageError
    from flowgauge.runtime import instance

    running = instance.find()
    if running is None or not running.log_dir:
        raise UsageError("nothing runs here; start it with `flowgauge run` or `flowgauge demo`, or give --log-dir")
    return Path(running.log_dir)


def _files(folder: Path, parts: list[str]) -> list[Path]:
    """The logs of the named parts: ``agent`` stands for every agent, ``agent-node-a`` for one."""
    from flowgauge.errors import UsageError

    present = sorted(folder.glob("*.log"))
    if not present:
        raise UsageError(f"there are no logs in {folder}")
    chosen: list[Path] = []
    for part in parts:
        matching = [path for path in present if path.stem == part or path.stem.startswith(f"{part}-")]
        if not matching:
            raise UsageError(f"there is no log of {part!r}; there are {', '.join(path.stem for path in present)}")
        chosen += [path for path in matching if path not in chosen]
    return chosen or present
