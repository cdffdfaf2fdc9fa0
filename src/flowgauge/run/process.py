# SPDX-License-Identifier: Apache-2.0
"""One supervised process: start, watch, restart with growing pauses, stop; its log, kept short.

Used by one thread: the supervisor's.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from http import HTTPStatus
from pathlib import Path

from flowgauge.run.part import LOOPBACK, Part, PartStatus, State, secret_pipe
from flowgauge.runtime.http import NOT_READY
from flowgauge.runtime.local_peer import listens

_PAUSES_S = (0.1, 0.3, 1.0, 2.0, 5.0)
"""Pause before the n-th restart; the last repeats. Short at first: a crash must not cost flows that are on their way."""

MAX_RESTARTS_PER_MINUTE = 12
"""A part that dies more often than this is broken, not unlucky: it is given up with its last words."""

_NO_RESTART_STATUS = (2, 3)
"""Exit statuses that another attempt cannot change: a user error, or something this machine lacks."""

_OUR_SENTENCE = "flowgauge: "
"""How every command of ours begins the sentence with which it ends."""

_READY_TIMEOUT_S = 1.0
_ASK_AGAIN_S = 5.0
"""How often a part that is ready is asked whether it still is; not all are: agents may tell of each connection."""
_MAX_ANSWER_BYTES = 4096

MAX_LOG_BYTES = 16 << 20
"""A longer log is moved to NAME.log.1, whose older content goes: a part that complains for weeks fills no disk."""

_LOG_LOOK_S = 10.0


class Supervised:
    """A ``Part`` and its process; ``status`` is always up to date after ``tick``."""

    def __init__(self, part: Part, log_dir: Path) -> None:
        self.part = part
        self.log_path = log_dir / f"{part.name}.log"
        self.status = PartStatus(part.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths: deque[float] = deque(maxlen=MAX_RESTARTS_PER_MINUTE)
        self._start_after = 0.0
        self._log_start = 0
        self._ended_before = ""
        self._reread = False
        self._ask_at = 0.0
        self._look_at_log = time.monotonic()

    @property
    def settled(self) -> bool:
        """Whether those that wait for this part may go on: it is ready, or optional and has died, or is refused something."""
        state = self.status.state
        lame = state in (State.FAILED, State.RESTARTING) or bool(self.status.refused)
        return state is State.READY or (self.part.optional and lame)

    def start(self) -> None:
        """Starts the process; standard output and error are appended to the part's log."""
        descriptors = {option: secret_pipe(secret) for option, secret in self.part.secrets.items()}
        secret_args = [word for option, fd in descriptors.items() for word in (option, str(fd))]
        # setpriv lets the kernel end the child should the supervisor be killed: nothing is left behind.
        argv = ["setpriv", "--pdeathsig", "TERM", "--", *self.part.argv, *secret_args]
        try:
            with self.log_path.open("ab") as log:
                self._log_start = log.tell()
                self._process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **self.part.env},
                    pass_fds=tuple(descriptors.values()),
                    start_new_session=True,
                )
        except OSError as error:
            self.status.state = State.FAILED
            self.status.problem = f"{self.part.name} cannot be started: {error.filename or argv[0]}: {error.strerror}"
            return
        finally:
            for fd in descriptors.values():
                os.close(fd)
        self.status.pid = self._process.pid
        self.status.state = State.STARTING if self.part.ready_url else State.READY

    def tick(self) -> bool:
        """Looks at the process once and restarts it when due. True when its status changed."""
        before = self.status.state, self.status.refused
        self._shorten_log()
        if self._process is None:
            if self.status.state is State.RESTARTING and time.monotonic() >= self._start_after:
                self.start()
        elif (exit_status := self._process.poll()) is not None:
            self._process = None
            self._died(exit_status)
        elif self.status.state is State.STARTING or (self.part.asked_again and time.monotonic() >= self._ask_at):
            self._ask()
        if self._reread and self.status.state is State.READY and self._process is not None:
            self._reread = False
            self._process.send_signal(signal.SIGHUP)
        return (self.status.state, self.status.refused) != before

    def reread(self) -> None:
        """Lets the process read its document again, once it is ready: before that it could not take the signal."""
        self._reread = True

    def terminate(self) -> None:
        """Asks the process to end; idempotent."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, grace_s: float) -> None:
        """Waits for the end, at most ``grace_s`` seconds; then kills."""
        if self._process is not None:
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        self.status.refused = ""
        if self.status.state is not State.FAILED:
            self.status.state = State.STOPPED
        self.status.pid = 0

    def last_words(self, lines: int = 8) -> str:
        """The end of what the process has written to its log, for messages; while that is nothing, how the last one ended."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(self._log_start)
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:]) or self._ended_before

    def _shorten_log(self) -> None:
        """Copies and empties: the process goes on writing at the end of the same file (O_APPEND)."""
        now = time.monotonic()
        if now < self._look_at_log:
            return
        self._look_at_log = now + _LOG_LOOK_S
        try:
            if self.log_path.stat().st_size > MAX_LOG_BYTES:
                shutil.copyfile(self.log_path, self.log_path.with_suffix(".log.1"))
                os.truncate(self.log_path, 0)
                self._log_start = 0
        except OSError:
            return  # not there yet, or the disk is full: the log goes on growing, the part goes on working

    def _ask(self) -> None:
        """Whether the part is ready, or what it is refused; one that does not answer now stays as it is."""
        answer = self._answer()
        if answer == "":
            self.status.state = State.READY
        if answer is not None:
            self.status.refused = answer
        self._ask_at = time.monotonic() + _ASK_AGAIN_S

    def _answer(self) -> str | None:
        """What it waits for in vain, empty when it is ready; None when it says neither."""
        place = urllib.parse.urlsplit(self.part.ready_url)
        # A connection that is refused would be a trouble of this machine, as our own agent sees it.
        if not listens(place.hostname or LOOPBACK, place.port or 80):
            return None
        try:
            with urllib.request.urlopen(self.part.ready_url, timeout=_READY_TIMEOUT_S) as answer:  # noqa: S310 - our own URL
                return "" if answer.status == HTTPStatus.OK else None
        except urllib.error.HTTPError as error:
            said = error.read(_MAX_ANSWER_BYTES).decode("utf-8", "replace").strip()
            return said.removeprefix(f"{NOT_READY}: ") if said.startswith(f"{NOT_READY}: ") else None
        except (urllib.error.URLError, OSError, ValueError):
            return None

    def _why(self, exit_status: int) -> str:
        """One sentence, when the part said one; else how it ended and its last words."""
        said = self.last_words(1)
        if exit_status in _NO_RESTART_STATUS and said.startswith(_OUR_SENTENCE):
            return f"{self.part.name}: {said.removeprefix(_OUR_SENTENCE)}"
        return f"{self.part.name} ended with {_ending(exit_status)}: {self.last_words()}"

    def _died(self, exit_status: int) -> None:
        now = time.monotonic()
        self._deaths.append(now)
        self.status.pid = 0
        self.status.refused = ""
        too_often = len(self._deaths) == MAX_RESTARTS_PER_MINUTE and now - self._deaths[0] < 60
        if not self.part.restart or exit_status in _NO_RESTART_STATUS or too_often:
            self.status.state = State.FAILED
            self.status.problem = self._why(exit_status)
            return
        self._ended_before = self._why(exit_status)
        recent = sum(1 for death in self._deaths if now - death < 60)
        self._start_after = now + _PAUSES_S[min(recent, len(_PAUSES_S)) - 1]
        self.status.restarts += 1
        self.status.state = State.RESTARTING


def _ending(exit_status: int) -> str:
    return f"signal {-exit_status}" if exit_status < 0 else f"status {exit_status}"
