# SPDX-License-Identifier: Apache-2.0
"""Logs: key=value for people on a terminal, JSON lines otherwise; one event name per kind of event."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import structlog

TRACE = 5
LEVELS = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _StandardError:
    """Standard error, whose reader may go away (a closed terminal, a dead supervisor): then lines vanish and work goes on."""

    def write(self, text: str) -> None:
        with self._or_to_nowhere():
            sys.stderr.write(text)

    def flush(self) -> None:
        with self._or_to_nowhere():
            sys.stderr.flush()

    @contextlib.contextmanager
    def _or_to_nowhere(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def configure(level: str = "info", *, json: bool | None = None) -> None:
    """Sets up logging to standard error.

    Args:
        level: one of ``LEVELS``.
        json: True for JSON lines, False for key=value; None chooses by whether standard error is a terminal.
    """
    as_json = (not sys.stderr.isatty()) if json is None else json
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(_StandardError()),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )


def get(part: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose events carry ``part`` (agent, collector, store …).

    It obeys the latest ``configure`` even when made before, as modules do when imported; ``bind`` would fix it for good.
    """
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=part)
    return logger


MAX_KEYS = 1000
"""Keys of one limit that are remembered; keys come from outside (names of devices), so all are forgotten beyond it."""


class RateLimit:
    """Lets an event through ``burst`` times per ``period_s`` and key, and tells how many were held back."""

    def __init__(self, burst: int = 3, period_s: float = 30.0) -> None:
        self._burst, self._period_s = burst, period_s
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
            if now - start >= self._period_s:
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
