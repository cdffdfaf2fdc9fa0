# SPDX-License-Identifier: Apache-2.0
"""The agent's thread inside the node's network namespace: follows links and routes, and does what must be done there.

Attaching a program and reading netlink act on the namespace of the calling thread, so both happen in this one thread; the
rest of the agent stays where it was started, and other threads hand work over with :meth:`NetworkWatch.run`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Protocol, TypeVar

from flowgauge.agent.namespace import Namespace
from flowgauge.agent.rtnetlink import Changes, Link, Route, Rtnetlink
from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import logs
from flowgauge.runtime.linux import enter_netns

T = TypeVar("T")

_TICK_S = 0.1
"""Longest time that handed-over work waits."""
_GATHER_S = 0.02
"""Changes come in bursts (a pod is a dozen messages): read the state once they had this long to arrive."""
_DUTY = 10
"""After a read that took t, changes wait at least this many t: reading costs a tenth of a CPU at most."""
_AGAIN_S = 0.5
"""A read that failed is tried again after so long, with the changes for which it was."""
_RECHECK_S = 5.0
"""Links are offered again this often, so that a failed attachment is tried again."""
_TIMEOUT_S = 120.0
"""Longest time that starting, stopping or handed-over work may take: attaching again to 5,000 devices takes a minute."""

_log = logs.get("agent")


class Watcher(Protocol):
    """Who is told; called in the watch thread only."""

    def on_links(self, links: Sequence[Link], gone: set[int]) -> None:
        """``links`` are there now; devices ``gone`` went away since (their ifIndex may be in use again)."""

    def on_routes(self, links: Sequence[Link], routes: Sequence[Route]) -> None:
        """``routes`` hold now."""

    def more(self) -> bool:
        """Does some of what is left to do; whether there is more."""


class NetworkWatch:
    """Follows a network namespace and tells ``watchers``."""

    def __init__(self, namespace: Namespace, watchers: Sequence[Watcher]) -> None:
        self._namespace, self._watchers = namespace, list(watchers)
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._started: Future[None] = Future()
        self._limit = logs.RateLimit()

    def start(self) -> None:
        """Returns when every watcher has been told the present state.

        Raises:
            EnvironmentProblem: the namespace does not exist or may not be entered.
        """
        self._thread.start()
        self._started.result(_TIMEOUT_S)

    def stop(self) -> None:
        """Ends the thread; safe to call twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_TIMEOUT_S)

    def ready(self) -> bool:
        """True while changes are followed."""
        return self._started.done() and self._thread.is_alive()

    def run(self, work: Callable[[], T]) -> T:
        """Runs ``work`` in the namespace and returns (or raises) what it does.

        Raises:
            EnvironmentProblem: the thread has ended, and ``work`` was not done.
        """
        if not self.ready():
            raise EnvironmentProblem("flowgauge agent does not follow the network's devices any more; restart it")
        done: Future[T] = Future()

        def job() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
                done.set_exception(error)

        self._work.put(job)
        return done.result(_TIMEOUT_S)

    def _run(self) -> None:
        try:
            if self._namespace.path:
                enter_netns(self._namespace.path)
            netlink = Rtnetlink()
        except OSError as error:
            self._started.set_exception(_cannot_enter(self._namespace.name, error))
            return
        try:
            self._follow(netlink)
        except OSError as error:
            _log.error("network_watch_failed", error=str(error))
        finally:
            netlink.close()

    def _follow(self, netlink: Rtnetlink) -> None:
        pending = Changes(links=True, routes=True)
        not_before = next_check = 0.0
        while not self._stopping.is_set():
            now = time.monotonic()
            if now >= next_check:
                pending.links, next_check = True, now + _RECHECK_S
            if (pending.links or pending.routes) and now >= not_before:
                not_before, told = self._tell(netlink, pending)
                pending = Changes() if told else pending
                if not self._started.done():
                    self._started.set_result(None)
            self._do_work()
            found = netlink.changes(0.0 if self._more() else _TICK_S)
            if found.links or found.routes:
                pending.merge(found)
                pending.merge(self._gather(netlink))

    def _gather(self, netlink: Rtnetlink) -> Changes:
        self._stopping.wait(_GATHER_S)
        return netlink.changes(0.0)

    def _more(self) -> bool:
        """Whether any watcher has more to do."""
        busy = False
        for watcher in self._watchers:
            try:
                busy |= watcher.more()
            except Exception:  # noqa: BLE001 - as in `_tell`
                _log.exception("network_change_failed", watcher=type(watcher).__name__)
        return busy

    def _tell(self, netlink: Rtnetlink, changes: Changes) -> tuple[float, bool]:
        """Reads the state and hands it on; until when (monotonic) no other read shall begin, and whether this one succeeded."""
        began = time.monotonic()
        try:
            links = netlink.links()
            routes = netlink.routes() if changes.routes else None
        except OSError as error:
            allowed, held_back = self._limit.allow("read")
            if allowed:
                _log.warning("network_read_failed", error=str(error), held_back=held_back)
            return time.monotonic() + _AGAIN_S, False
        until = time.monotonic() + _DUTY * (time.monotonic() - began)
        for watcher in self._watchers:
            try:
                watcher.on_links(links, changes.gone or set())
                if routes is not None:
                    watcher.on_routes(links, routes)
            except Exception:  # noqa: BLE001 - the node's other devices must still be followed
                _log.exception("network_change_failed", watcher=type(watcher).__name__)
        return until, True

    def _do_work(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._work.get_nowait()()


def _cannot_enter(netns: str, error: OSError) -> EnvironmentProblem:
    if not netns:
        return EnvironmentProblem(f"flowgauge agent cannot read the network's state: {error.strerror}")
    return EnvironmentProblem(
        f"flowgauge agent cannot enter the network namespace {netns}: {error.strerror}; `ip netns list` shows those there are"
    )
