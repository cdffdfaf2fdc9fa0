# SPDX-License-Identifier: Apache-2.0
"""The agent's netlink watch in a real network namespace."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agent_kit import WITHIN_S
from flowgauge.agent.namespace import Namespace
from flowgauge.agent.rtnetlink import Link, Route, Rtnetlink
from flowgauge.agent.watch import NetworkWatch
from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime.linux import create_netns, delete_netns

pytestmark = pytest.mark.root


def ip(netns: str, *words: str) -> None:
    subprocess.run(["ip", "-n", netns, *words], check=True)


@pytest.fixture
def netns() -> Iterator[str]:
    if os.geteuid() != 0:
        pytest.skip("needs root to make a network namespace")
    name = f"fgw{os.getpid()}"
    create_netns(name)
    ip(name, "link", "set", "lo", "up")
    yield name
    delete_netns(name)


class Seen:
    """A watcher that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.links: Sequence[Link] = ()
        self.routes: Sequence[Route] = ()
        self.gone: set[int] = set()
        self._changed = threading.Condition()

    def on_links(self, links: Sequence[Link], gone: set[int]) -> None:
        with self._changed:
            self.links, self.gone = links, self.gone | gone
            self._changed.notify_all()

    def more(self) -> bool:
        return False

    def on_routes(self, links: Sequence[Link], routes: Sequence[Route]) -> None:  # noqa: ARG002
        with self._changed:
            self.routes = routes
            self._changed.notify_all()

    def until(self, condition: Callable[[Seen], bool]) -> bool:
        """Whether ``condition`` holds in the end."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout=WITHIN_S)

    def names(self) -> set[str]:
        return {link.name for link in self.links}


@pytest.fixture
def watched(netns: str) -> Iterator[tuple[str, Seen, NetworkWatch]]:
    seen = Seen()
    watch = NetworkWatch(Namespace(netns), [seen])
    watch.start()
    yield netns, seen, watch
    watch.stop()


def test_the_present_state_is_told_before_start_returns(watched: tuple[str, Seen, NetworkWatch]) -> None:
    _, seen, watch = watched
    assert seen.names() == {"lo"}
    assert any(route.prefix.endswith(bytes([127, 0, 0, 1])) for route in seen.routes)
    assert watch.ready()


def test_devices_are_told_as_they_come_change_their_names_and_go(watched: tuple[str, Seen, NetworkWatch]) -> None:
    netns, seen, _ = watched
    ip(netns, "link", "add", "va", "type", "veth", "peer", "name", "vb")
    assert seen.until(lambda s: s.names() == {"lo", "va", "vb"})
    assert {link.kind for link in seen.links if link.name == "va"} == {"veth"}
    ifindex = next(link.ifindex for link in seen.links if link.name == "va")
    ip(netns, "link", "set", "va", "name", "vc")
    assert seen.until(lambda s: s.names() == {"lo", "vc", "vb"})
    ip(netns, "link", "del", "vc")
    assert seen.until(lambda s: s.names() == {"lo"} and ifindex in s.gone)


def test_routes_and_gateways_are_told(watched: tuple[str, Seen, NetworkWatch]) -> None:
    netns, seen, _ = watched
    ip(netns, "link", "add", "va", "type", "veth", "peer", "name", "vb")
    ip(netns, "link", "set", "va", "up")
    ip(netns, "addr", "add", "10.9.0.1/24", "dev", "va")
    ip(netns, "route", "add", "10.8.0.0/16", "nexthop", "via", "10.9.0.7", "nexthop", "via", "10.9.0.8")
    ip(netns, "route", "add", "fd00:8::/64", "dev", "va")

    def multipath(seen: Seen) -> bool:
        return any(route.length == 96 + 16 and len(route.gateways) == 2 for route in seen.routes)

    assert seen.until(multipath)
    assert seen.until(lambda s: any(r.length == 64 and r.prefix[:4] == b"\xfd\0\0\x08" for r in s.routes))


def test_work_runs_in_the_namespace_and_its_error_comes_back(watched: tuple[str, Seen, NetworkWatch]) -> None:
    netns, _, watch = watched
    inside = watch.run(lambda: Path("/proc/thread-self/ns/net").stat().st_ino)
    assert inside == Path(f"/run/netns/{netns}").stat().st_ino
    assert inside != Path("/proc/thread-self/ns/net").stat().st_ino
    with pytest.raises(ZeroDivisionError):
        watch.run(lambda: 1 // 0)


def test_a_namespace_that_is_not_there_is_told_in_a_sentence() -> None:
    with pytest.raises(EnvironmentProblem, match="cannot enter the network namespace no-such-ns"):
        NetworkWatch(Namespace("no-such-ns"), []).start()


def test_what_a_failed_read_was_to_tell_is_told_by_the_next(
    watched: tuple[str, Seen, NetworkWatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    netns, seen, _ = watched
    failures = [OSError(errno.ENOBUFS, "no buffer space")]
    read = Rtnetlink.routes

    def routes(netlink: Rtnetlink) -> list[Route]:
        if failures:
            raise failures.pop()
        return read(netlink)

    monkeypatch.setattr(Rtnetlink, "routes", routes)
    ip(netns, "link", "add", "va", "type", "veth", "peer", "name", "vb")
    ip(netns, "link", "set", "va", "up")
    ip(netns, "addr", "add", "10.9.0.1/24", "dev", "va")
    assert seen.until(lambda s: any(route.prefix.endswith(bytes([10, 9, 0, 1])) for route in s.routes))
    assert not failures


def test_a_watcher_that_fails_ends_nothing(netns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failing, seen = Seen(), Seen()
    failures = [ZeroDivisionError(), OSError(errno.EMFILE, "too many open files")]

    def more() -> bool:
        if failures:
            raise failures.pop()
        return False

    monkeypatch.setattr(failing, "more", more)
    watch = NetworkWatch(Namespace(netns), [failing, seen])
    watch.start()
    ip(netns, "link", "add", "va", "type", "veth", "peer", "name", "vb")
    assert seen.until(lambda s: "va" in s.names())
    watch.stop()
    assert not failures


def test_a_burst_of_devices_is_followed_to_its_end(watched: tuple[str, Seen, NetworkWatch]) -> None:
    netns, seen, _ = watched
    lines = "\n".join(f"link add b{n} type veth peer name c{n}" for n in range(50))
    subprocess.run(["ip", "-n", netns, "-batch", "-"], input=lines, text=True, check=True)
    assert seen.until(lambda s: len(s.names()) == 101)
