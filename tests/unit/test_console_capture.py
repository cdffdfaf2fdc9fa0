# SPDX-License-Identifier: Apache-2.0
"""The console's captures of several agents, of which some fall silent: the others' packets come all the same, and it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from typing import cast

import pytest

from flowgauge.console import capture
from flowgauge.console.capture import Wanted
from flowgauge.console.services import Services
from flowgauge.console.settings import ConsoleSettings
from flowgauge.runtime.http import HttpServer, Request, Response
from flowgauge.runtime.ledger import Ledger
from flowgauge.store.store import FlowStore
from flowgauge.wire.captures import pcapng_write

BEGIN = pcapng_write.section("an agent", "") + pcapng_write.interface("eth0", "node", pcapng_write.ETHERNET, 128)
PACKET = pcapng_write.packet(0, 1_700_000_000_000_000_000, b"\0" * 64, 64)
WANTED = Wanted("", 0, 0, 1000, 1_000_000)


def _whole(_: Request) -> Response:
    return Response(iter([BEGIN, PACKET, pcapng_write.mark(1 << 62, 0)]), "application/x-pcapng")


def _falls_silent(request: Request) -> Response:
    def pieces() -> Iterator[bytes]:
        yield BEGIN + PACKET
        request.stopping.wait(60)

    return Response(pieces(), "application/x-pcapng")


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Of three nodes: one tells everything, one falls silent in the middle, one takes the question and never answers."""
    monkeypatch.setattr(capture, "_SILENT_S", 0.5)
    servers = {"whole": HttpServer("127.0.0.1", 0, {"/api/v1/heads": _whole}),
               "silent": HttpServer("127.0.0.1", 0, {"/api/v1/heads": _falls_silent})}  # fmt: skip
    for server in servers.values():
        server.start()
    with socket.create_server(("127.0.0.1", 0)) as hung:
        yield {node: one.url for node, one in servers.items()} | {"hung": f"http://127.0.0.1:{hung.getsockname()[1]}"}
    for server in servers.values():
        server.stop()


async def _captured(agents: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
    settings = ConsoleSettings("http://127.0.0.1:9", "", agents=agents, agent_token="token")
    services = Services(settings, cast("FlowStore", None), Ledger("console", "test"))
    try:
        async with asyncio.timeout(30):
            found = await capture.begin(services, WANTED, ())
            return b"".join([piece async for piece in found.pieces(services.stopping)]), found.missing
    finally:
        await services.client().close()


def test_agents_that_fall_silent_are_named_and_hold_nobody_up(agents: dict[str, str]) -> None:
    body, missing = asyncio.run(_captured(agents))
    assert list(missing) == ["hung"]
    assert missing["hung"].startswith("the agent does not answer: ")
    assert body.count(PACKET[28:-4]) == 2
    assert b"the capture of silent broke off: " in body
    assert b"the capture of whole" not in body
