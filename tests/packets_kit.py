# SPDX-License-Identifier: Apache-2.0
"""For tests: nodes on which something is always said, and a console before their agents."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from console_kit import Console, running_console
from flowgauge.console.settings import ConsoleSettings
from heads_kit import TOKEN, keeping
from node_kit import B, TwoPods, two_pods

NOWHERE = "http://127.0.0.1:1"
"""Of a store that nobody asks."""


@contextmanager
def chatter(built: TwoPods, payload: bytes = b"hello") -> Iterator[None]:
    """A datagram from a to b every now and then."""
    done = threading.Event()

    def talk() -> None:
        while not done.wait(0.01):
            out.sendto(payload, (B, 9))

    with built.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as out:
        thread = threading.Thread(target=talk)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@dataclass(frozen=True)
class Nodes:
    """A console before the agents of two nodes: ``n1`` keeps the past, ``n2`` does not."""

    console: Console
    urls: dict[str, str]


@contextmanager
def two_nodes(folder: Path) -> Iterator[Nodes]:
    """Both, until the block ends."""
    with contextlib.ExitStack() as stack:
        urls = {}
        for name, heads in (("n1", "enable: true"), ("n2", "enable: false")):
            (own := folder / name).mkdir()
            built = stack.enter_context(two_pods())
            stack.enter_context(chatter(built))
            agent = stack.enter_context(keeping(own, "--netns", built.node, "--node", name, heads=heads))
            urls[name] = agent.ready()["http"]
        settings = ConsoleSettings(NOWHERE, "secret", agents=urls, agent_token=TOKEN)
        yield Nodes(stack.enter_context(running_console(settings)), urls)
