# SPDX-License-Identifier: Apache-2.0
"""The console's captures of several agents, of which some fall silent: the others' packets come all the same, and it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import pytest

from flowgauge.console import capture
from flowgauge.console.capture import Wanted
from flowgauge.console.services import Services
from flowgauge.console.settings import ConsoleSettings
from flowgauge.runtime.http import Handler, HttpServer, Request, Response
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


@contextmanager
def _agent(heads: Handler) -> Iterator[str]:
    server = HttpServer("127.0.0.1", 0, {"/api/v1/heads": heads})
    server.start()
    yield server.url
    server.stop()


async def _captured(agents: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
    settings = ConsoleSettings("http://127.0.0.1:9", "", agents=agents, agent_token="token")
    services = Services(settings, cast("FlowStore", None), Ledger("console", "test"))
    try:
        async with asyncio.timeout(120):
            found = await capture.begin(services, WANTED, ())
            return b"".join([piece async for piece in found.pieces(services.stopping)]), found.missing
    finally:
        await services.client().close()


def test_as_many_agents_as_there_are_are_asked_at_once() -> None:
    """Each tells on only when all have been asked."""
    count, asked = 150, [0]

    async def captured() -> tuple[bytes, Mapping[str, str]]:
        everybody = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked[0] += 1
            if asked[0] == count:
                everybody.set()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BEGIN)
            await everybody.wait()
            writer.write(PACKET)
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0, backlog=count) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            found = await _captured({f"node-{number:03}": url for number in range(count)})
            everybody.set()
            return found

    body, missing = asyncio.run(captured())
    assert missing == {}
    assert body.count(PACKET[28:-4]) == count


def test_an_agent_that_never_answers_is_named_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_SILENT_S", 2.0)
    with _agent(_whole) as whole, socket.create_server(("127.0.0.1", 0)) as hung:
        body, missing = asyncio.run(_captured({"whole": whole, "hung": f"http://127.0.0.1:{hung.getsockname()[1]}"}))
    assert list(missing) == ["hung"]
    assert missing["hung"].startswith("the agent does not answer: ")
    assert body.count(PACKET[28:-4]) == 1


def test_an_agent_that_falls_silent_in_the_middle_is_named_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_SILENT_S", 2.0)
    with _agent(_whole) as whole, _agent(_falls_silent) as silent:
        body, missing = asyncio.run(_captured({"whole": whole, "silent": silent}))
    assert missing == {}
    assert body.count(PACKET[28:-4]) == 2
    assert b"the capture of silent broke off: " in body
    assert b"the capture of whole" not in body
