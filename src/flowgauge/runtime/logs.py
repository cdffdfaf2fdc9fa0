# SPDX-License-Identifier: Apache-2.0
"""Logs: key=value for people on a terminal, JSON lines otherwise; one event name per kind of event.

Small on purpose: every verb that logs imports it, and the libraries for this take as long to import as numpy does.
Safe from any thread.
"""

from __future__ import annotations

import json as json_text
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flowgauge.errors import NOTHING_MORE_FITS

LEVELS = {"trace": 5, "debug": 10, "info": 20, "warning": 30, "error": 40}

Values = dict[str, Any]
"""An event: its values by name, with ``event``, ``level`` and ``timestamp`` the last."""

_COLOURS = {"debug": 36, "info": 32, "warning": 33, "error": 31}
_EVENT_WIDTH = 30


def as_json(values: Values) -> str:
    """An event as a line for programs."""
    return json_text.dumps(values, default=repr)


def as_text(values: Values) -> str:
    """An event as a line for people, in colour, with what it says of an exception below."""
    values = dict(values)
    timestamp, level, event, trace = (values.pop(name, "") for name in ("timestamp", "level", "event", "exception"))
    rest = " ".join(f"\033[36m{name}\033[0m={_shown(value)}" for name, value in sorted(values.items()))
    head = f"\033[2m{timestamp}\033[0m [\033[{_COLOURS[level]}m{level:7}\033[0m] \033[1m{event:{_EVENT_WIDTH}}\033[0m"
    return f"{head} {rest}".rstrip() + (f"\n{trace}" if trace else "")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if text and text.isprintable() and not set(" =\"'") & set(text) else repr(value)


@dataclass(slots=True)
class _Output:
    """What is written, and how far."""

    level: int = LEVELS["info"]
    render: Callable[[Values], str] = as_text
    take: Callable[[Values], None] | None = None
    begun: bytes = b""
    """The rest of a line that the disk had no room for."""


_output, _lock = _Output(), threading.Lock()


def write(text: str) -> None:
    """Writes a line to standard error; when its reader is gone (closed terminal, dead supervisor) lines vanish, work goes on.

    While the disk of a log file is full they vanish, too; one that was begun is ended when there is room again.
    """
    for line, begun in ((_output.begun, True), (text.encode(errors="backslashreplace"), False)):
        left = _without_room(line)
        if left:
            _output.begun = left if begun or len(left) < len(line) else b""
            return
    _output.begun = b""


def _without_room(line: bytes) -> bytes:
    """Writes ``line``; what of it the disk had no room for. Python's own buffer would mix up lines after such an error."""
    buffer = getattr(sys.stderr, "buffer", None)
    if buffer is None:  # a screen that shows texts itself, as that of ``top``
        sys.stderr.write(line.decode())
        return b""
    stream = getattr(buffer, "raw", buffer)
    while line:
        try:
            line = line[stream.write(line) or len(line) :]
        except OSError as error:
            if error.errno in NOTHING_MORE_FITS:
                return line
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
            return b""
    return b""


def configure(level: str = "info", *, json: bool | None = None) -> None:
    """Sets up logging to standard error.

    Args:
        level: one of ``LEVELS``.
        json: True for JSON lines, False for key=value; None chooses by whether standard error is a terminal.
    """
    wanted = (not sys.stderr.isatty()) if json is None else json
    _output.level, _output.render = LEVELS[level], as_json if wanted else as_text


@contextmanager
def captured() -> Iterator[list[Values]]:
    """What is logged meanwhile, at every level, instead of writing it."""
    found: list[Values] = []
    before, _output.take = _output.take, found.append
    try:
        yield found
    finally:
        _output.take = before


class Logger:
    """Logs one part's events; it obeys the latest ``configure`` even when made before, as modules do when imported."""

    def __init__(self, part: str) -> None:
        self._part = part

    def debug(self, event: str, **values: object) -> None:
        """What a developer wants to know."""
        self._log("debug", event, values)

    def info(self, event: str, **values: object) -> None:
        """What happened, as it should."""
        self._log("info", event, values)

    def warning(self, event: str, **values: object) -> None:
        """What somebody may want to do something about."""
        self._log("warning", event, values)

    def error(self, event: str, *, exc_info: BaseException | None = None, **values: object) -> None:
        """What went wrong; ``exc_info``: by which exception."""
        self._log("error", event, values, exc_info)

    def exception(self, event: str, **values: object) -> None:
        """What went wrong, with the exception that is being handled."""
        self._log("error", event, values, sys.exception())

    def _log(self, level: str, event: str, values: Values, error: BaseException | None = None) -> None:
        if LEVELS[level] < _output.level and _output.take is None:
            return
        line = {"part": self._part, **values}
        if error is not None:
            line["exception"] = "".join(traceback.format_exception(error)).rstrip()
        line |= {"event": event, "level": level, "timestamp": _now()}
        with _lock:
            if _output.take is not None:
                _output.take(line)
            else:
                write(_output.render(line) + "\n")


def get(part: str) -> Logger:
    """A logger whose events carry ``part`` (agent, collector, store …)."""
    return Logger(part)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


MAX_KEYS = 1000
"""Keys of one limit that are remembered; keys come from outside (names of devices), so all are forgotten beyond it."""


PERIOD_S = 30.0
"""For how long an event that has come often enough is held back."""


class RateLimit:
    """Lets an event through ``burst`` times per ``PERIOD_S`` and key, and tells how many were held back."""

    def __init__(self, burst: int = 3) -> None:
        self._burst = burst
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}

    def allow(self, key: str) -> tuple[bool, int]:
        """(whether to log now, how many of ``key`` were held back in the last window)."""
        now = time.monotonic()
        with self._lock:
            if key not in self._windows and len(self._windows) >= MAX_KEYS:
                self._windows.clear()
            start, count = self._windows.get(key, (now, 0))
            held_back = 0
            if now - start >= PERIOD_S:
                held_back, start, count = max(0, count - self._burst), now, 0
            self._windows[key] = (start, count + 1)
        return count < self._burst, held_back


class LibraryLog:
    """Takes what a library of another language logs, as one event: such libraries repeat themselves every moment.

    Args:
        part: whose log it goes to.
        event: its name there.
    """

    def __init__(self, part: str, event: str) -> None:
        self._log, self._event, self._limit = get(part), event, RateLimit(burst=1)

    def log(self, level: int, form: str, *values: object) -> None:
        """As ``logging.Logger.log``."""
        allowed, held_back = self._limit.allow(str(level))
        if allowed:
            self._log.warning(self._event, said=form % values if values else form, held_back=held_back)
