# SPDX-License-Identifier: Apache-2.0
"""What ``flowgauge capture`` was asked, checked, and its run: sources are read by a thread each, and joined into one file."""

from __future__ import annotations

import os
import queue
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from flowgauge import __version__
from flowgauge.cli import units
from flowgauge.cli.capture_source import AgentSource, Source, Wanted
from flowgauge.errors import EnvironmentProblem, FlowgaugeError, UsageError
from flowgauge.runtime import signals
from flowgauge.runtime.clock import now_ns
from flowgauge.schema import filters
from flowgauge.schema.duration import milliseconds
from flowgauge.wire.captures.pcapng_merge import Block, Merge, blocks

DEFAULT_FOR, DEFAULT_AROUND = "30s", "60s"
MAX_BYTES = 1_000_000_000
MAX_MS = 3_600_000
"""Longest capture, and longest past."""
_SLACK_BYTES = 1_000_000
"""Of an agent's answer, for what does not get into the file."""
_EARLY_NS = 2_000_000_000
_TICK_S = 0.2
_WAITING_BLOCKS = 1024
_SIZE = re.compile(r"(\d{1,10})\s*(B|kB|KB|MB|GB|KiB|MiB|GiB|)")
_UNITS = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@dataclass(frozen=True, slots=True)
class Request:
    """The options, checked; ``path`` is None for standard output."""

    wanted: Wanted
    path: Path | None
    force: bool
    max_bytes: int


def asked(*, filter_: str, for_: str, past: str, at: str, write: str, force: bool, max_bytes: str) -> Request:
    """The request; UsageError says what is wrong or does not go together."""
    filters.bound(filter_)
    now = now_ns()
    past_ms = _length("--past", past or (DEFAULT_AROUND if at else "0s"))
    start_ns, end_ns = now - past_ms * 1_000_000, now
    if at:
        if for_:
            raise UsageError("--at asks for the past, --for for what comes: leave one out")
        moment_ns = units.moment_ms("--at", at) * 1_000_000
        start_ns, end_ns = max(moment_ns - past_ms * 1_000_000, 1), moment_ns + past_ms * 1_000_000
    follow_ms = _length("--for", for_ or ("0s" if past or at else DEFAULT_FOR))
    if not follow_ms and start_ns == end_ns:
        raise UsageError("there is nothing to capture in 0 seconds: give --for or --past")
    size = _bytes(max_bytes)
    return Request(
        Wanted(filter_, start_ns, end_ns, follow_ms, size + _SLACK_BYTES), _path(write, force=force), force, size
    )  # fmt: skip


def refuse_together() -> None:
    """UsageError: this machine was chosen, and agents."""
    raise UsageError("--agent, --node and --freeze are for agents; leave them out with --standalone, --interface and --netns")


def freeze(agents: Sequence[AgentSource], duration: str) -> int:
    """Lets each agent keep what it has for ``duration``."""
    _length("--freeze", duration)
    if not agents:
        raise EnvironmentProblem("nothing is running here: there is no agent that keeps packet headers")
    for agent in agents:
        agent.freeze(duration)
        print(f"{agent.node}: what is there stays for {duration}" if milliseconds(duration) else f"{agent.node}: goes on")
    return 0


def run(request: Request, sources: Sequence[Source]) -> int:
    """Captures until time or room is up or Ctrl-C; 0, or 1 when a node failed and others did not."""
    stop = threading.Event()
    signals.on({signal.SIGINT: stop.set, signal.SIGTERM: stop.set})
    capture = _Capture(request, sources, stop)
    capture.start()
    with _opened(request) as file:
        return capture.write(file)


class _Capture:
    """One run: threads that read, and the joined file."""

    def __init__(self, request: Request, sources: Sequence[Source], stop: threading.Event) -> None:
        self._request, self._sources, self._stop = request, sources, stop
        self._merge = Merge(len(sources), f"flowgauge {__version__}", request.max_bytes)
        self._waiting: queue.Queue[tuple[int, Block | FlowgaugeError | None]] = queue.Queue(_WAITING_BLOCKS)
        self._problems: dict[int, FlowgaugeError] = {}
        self._open, self._begun, self._started_ns = len(sources), False, now_ns()
        self._progress = _Progress(request.wanted.follow_ms / 1000)

    def start(self) -> None:
        """Returns when a source has begun: there is no file when none can, but what the first of them said is raised."""
        for number, source in enumerate(self._sources):
            threading.Thread(target=self._read, args=(number, source), name="capture", daemon=True).start()
        while self._open and not self._begun and not self._stop.is_set():
            self._take()
        if len(self._problems) == len(self._sources):
            raise self._problems[min(self._problems)]

    def write(self, file: IO[bytes]) -> int:
        """Goes on to the end."""
        while self._open and not self._stop.is_set() and not self._merge.full:
            self._take()
            file.write(self._merge.ready())
            file.flush()
            self._progress.show(self._merge)
        self._stop.set()
        file.write(self._merge.rest())
        file.flush()
        self._progress.end()
        self._say()
        return 1 if self._problems else 0

    def _take(self) -> None:
        """Takes what has come and comes within a tick."""
        until = time.monotonic() + _TICK_S
        while (left := until - time.monotonic()) > 0 and not self._merge.full:
            try:
                number, what = self._waiting.get(timeout=left)
            except queue.Empty:
                break
            if isinstance(what, FlowgaugeError):
                self._problems[number] = what
            elif what is not None:
                self._begun = True
                self._merge.take(number, what)
                continue
            self._close(number)
            if not self._open:
                break

    def _close(self, number: int) -> None:
        self._open -= 1
        early_ns = self._started_ns + self._request.wanted.follow_ms * 1_000_000 - self._merge.told_until(number)
        if number not in self._problems and early_ns > _EARLY_NS and not self._stop.is_set():
            node = self._sources[number].node
            self._problems[number] = EnvironmentProblem(f"the agent of {node} ended {early_ns / 1e9:.0f} s before the capture")
        self._merge.ended(number)

    def _read(self, number: int, source: Source) -> None:
        """The thread of a source."""
        ended: FlowgaugeError | None = None
        try:
            for block in blocks(source.pieces(self._request.wanted, self._stop)):
                self._waiting.put((number, block))
                if self._stop.is_set():
                    break
        except FlowgaugeError as error:
            ended = error
        self._waiting.put((number, ended))

    def _say(self) -> None:
        """What was captured, and what not."""
        merge, where = self._merge, self._request.path or "standard output"
        nodes = units.counted(len(self._sources) - len(self._problems), "node")
        why = f"; ended at --max-bytes {units.size(self._request.max_bytes)}" if merge.full else ""
        lost = f"; {units.counted(merge.lost, 'packet')} came too fast" if merge.lost else ""
        print(f"{units.counted(merge.packets, 'packet')} of {nodes} in {where} ({units.size(merge.bytes)}){why}{lost}",
              file=sys.stderr)  # fmt: skip
        for problem in self._problems.values():
            print(f"flowgauge: {problem}", file=sys.stderr)


class _Progress:
    """A line on a terminal, drawn again; nothing elsewhere."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._began = seconds, time.monotonic()
        self._shown = sys.stderr.isatty()

    def show(self, merge: Merge) -> None:
        """How far it is."""
        if self._shown:
            spent = min(time.monotonic() - self._began, self._seconds)
            text = (
                f"{spent:.0f} of {self._seconds:.0f} s · {units.counted(merge.packets, 'packet')} · {units.size(merge.bytes)}"
            )
            print(f"\r\x1b[K{text} · Ctrl-C ends", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Takes the line away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def _opened(request: Request) -> Iterator[IO[bytes]]:
    """The file, readable by its owner only: it is made now, so that it cannot be somebody else's by then."""
    if request.path is None:
        yield sys.stdout.buffer
        return
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC | os.O_NOFOLLOW if request.force else os.O_EXCL)
    try:
        descriptor = os.open(request.path, flags, 0o600)
    except FileExistsError:
        raise UsageError(f"--write {request.path} is there already: give another name, or --force to replace it") from None
    except OSError as error:
        raise UsageError(f"--write {request.path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        yield file


def _path(text: str, *, force: bool) -> Path | None:
    if text == "-":
        if sys.stdout.isatty():
            raise UsageError("--write - sends bytes to a terminal: pipe them, as into tshark -r -, or give a file")
        return None
    path = Path(text or f"flowgauge-{datetime.now().astimezone():%Y%m%d-%H%M%S}.pcapng")
    if path.exists() and not force:
        raise UsageError(f"--write {path} is there already: give another name, or --force to replace it")
    return path


def _length(option: str, text: str) -> int:
    found = milliseconds(text, option)
    if found > MAX_MS:
        raise UsageError(f"{option} {text!r} is too long: one hour at most")
    return found


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    size = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 1000 <= size <= MAX_BYTES:
        raise UsageError(f"--max-bytes {text!r} is no size from 1kB to 1GB; write 500kB, 10MB or 64MiB")
    return size
