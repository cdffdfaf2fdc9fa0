# SPDX-License-Identifier: Apache-2.0
"""Whose program is at the other end: that of this very connection, whatever else has its port."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from flowgauge.runtime.local_peer import listens, user_of

NOBODY = 65534


@contextmanager
def another_user() -> Iterator[int]:
    """Sockets made meanwhile are somebody else's, as far as we may say so."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield os.geteuid()
    finally:
        os.seteuid(before)


def connected(stack: ExitStack, port: int = 0) -> tuple[socket.socket, socket.socket]:
    """A client, from ``port`` if it is given, and what the server accepted."""
    listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    client = stack.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.bind(("127.0.0.1", port))
    client.connect(listening.getsockname())
    return client, stack.enter_context(listening.accept()[0])


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_another_connection_from_the_same_port_is_somebody_elses(*, closed: bool) -> None:
    """A connection that has ended counts as root's in the kernel's tables, so anybody can leave one of root's behind."""
    with ExitStack() as stack:
        ours, at_server = connected(stack)
        port = ours.getsockname()[1]
        with another_user() as user:
            theirs, at_other = connected(stack, port)
        assert theirs.getsockname() == ours.getsockname()
        if closed:
            ours.close()
            at_server.close()
        assert user_of(at_other.getpeername(), at_other.getsockname()) == user
        if not closed:
            assert user_of(at_server.getpeername(), at_server.getsockname()) == os.geteuid()
        assert user_of(("127.0.0.1", port), ("127.0.0.1", 1)) is None


def test_a_server_of_ipv6_that_is_reached_by_ipv4() -> None:
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True))
        stack.enter_context(socket.create_connection(("127.0.0.1", listening.getsockname()[1])))
        at_server = stack.enter_context(listening.accept()[0])
        assert at_server.getpeername()[0] == "::ffff:127.0.0.1"
        assert user_of(at_server.getpeername()[:2], at_server.getsockname()[:2]) == os.geteuid()


@pytest.mark.parametrize(
    ("bound", "asked", "there"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.9", False),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "::1", False),
        ("0.0.0.0", "127.0.0.9", True),
        ("::1", "::1", True),
        ("::1", "127.0.0.1", False),
        ("::", "127.0.0.1", True),
        ("::", "::1", True),
    ],
)
def test_who_listens_where(bound: str, asked: str, there: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A bound socket does not listen yet; a connection from the port does not either, nor once the server is closed."""
    with socket.socket(socket.AF_INET6 if ":" in bound else socket.AF_INET) as server:
        server.bind((bound, 0))
        port = server.getsockname()[1]
        assert not listens(asked, port)
        server.listen()
        assert listens(asked, port) is there
        with socket.create_connection((bound, port)) as client:
            assert not listens(asked, client.getsockname()[1])
            server.close()
            assert not listens(asked, port)
