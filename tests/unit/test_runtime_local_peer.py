# SPDX-License-Identifier: Apache-2.0
"""Whose program is at the other end: that of this very connection, whatever else has its port."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from flowgauge.runtime.local_peer import user_of

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
