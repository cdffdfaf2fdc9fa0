# SPDX-License-Identifier: Apache-2.0
"""Packet heads of all nodes for a browser: every agent is asked at once, and what they answer becomes one capture file.

Before: the agents' ``/api/v1/heads``; after: ``routes.capture``. The same joining serves ``flowgauge capture``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from flowgauge import __version__
from flowgauge.console.services import Services, why
from flowgauge.errors import EnvironmentProblem, FlowgaugeError, UsageError
from flowgauge.runtime.clock import now_ns
from flowgauge.wire.captures.pcapng_merge import Block, Blocks, Merge

_SLACK_BYTES = 1_000_000
"""Of an agent's answer, for what does not get into the file."""
_TICK_S = 0.2
_WAITING_BLOCKS = 1024
_TOLD_WITHIN = aiohttp.ClientTimeout(total=3)
_SILENT_S = 20.0
"""How long an agent may say nothing: it marks twice a second how far it is, but looks through what it keeps without a word."""
_NO_AGENTS = (
    "this console knows no agents, so there is nobody to ask for packets: an agent runs beside it where the document enables "
    "spec.exporter, or give --agent NODE=URL and --agent-token-file"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of each agent: ``start_ms`` = ``end_ms`` asks for nothing of the past, ``follow_ms`` of what comes."""

    filter: str
    start_ms: int
    end_ms: int
    follow_ms: int
    max_bytes: int

    def params(self) -> dict[str, str]:
        """As an agent takes it."""
        past = {"from": str(self.start_ms), "to": str(self.end_ms)} if self.start_ms < self.end_ms else {}
        most = str(self.max_bytes + _SLACK_BYTES)
        return {"filter": self.filter, "for": f"{self.follow_ms}ms", "max_bytes": most, "marks": "1", **past}


@dataclass(frozen=True, slots=True)
class _Stream:
    node: str
    answer: aiohttp.ClientResponse


class Capture:
    """A capture that has begun; ``missing`` says of each node that takes no part why."""

    def __init__(self, streams: Sequence[_Stream], missing: Mapping[str, str], max_bytes: int) -> None:
        self._streams, self.missing = streams, missing
        comment = "; ".join(f"without {node}: {why}" for node, why in missing.items())
        self._merge = Merge(len(streams), f"flowgauge {__version__}", max_bytes, comment)
        self._blocks: asyncio.Queue[tuple[int, Block | None]] = asyncio.Queue(_WAITING_BLOCKS)
        self._open = len(streams)

    async def pieces(self, stopping: asyncio.Event) -> AsyncGenerator[bytes, None]:
        """The file, until agents have told everything, it is long enough, or ``stopping`` is set."""
        reading = [asyncio.ensure_future(self._read(number, one)) for number, one in enumerate(self._streams)]
        try:
            while self._open and not self._merge.full and not stopping.is_set():
                if ready := self._merge.ready():
                    yield ready
                await self._take()
            yield self._merge.rest()
        finally:
            for one in reading:
                one.cancel()
            self.close()

    def close(self) -> None:
        """Ends what agents send; safe to call twice."""
        for one in self._streams:
            one.answer.close()

    async def _take(self) -> None:
        """Takes what has come and comes within a tick."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_TICK_S):
                while self._open and not self._merge.full:
                    number, block = await self._blocks.get()
                    if block is None:
                        self._open -= 1
                        self._merge.ended(number)
                    else:
                        self._merge.take(number, block)

    async def _read(self, number: int, one: _Stream) -> None:
        """Hands an agent's blocks over; one that breaks off is named in the file."""
        cutter = Blocks()
        try:
            while piece := await one.answer.content.readany():
                for block in cutter.cut(piece):
                    await self._blocks.put((number, block))
        except (aiohttp.ClientError, TimeoutError, OSError, FlowgaugeError) as error:
            self._merge.note(number, now_ns(), f"the capture of {one.node} broke off: {why(error)}")
        await self._blocks.put((number, None))


async def begin(services: Services, wanted: Wanted, nodes: Sequence[str]) -> Capture:
    """Asks the agents of ``nodes`` (none: of all) at once; those that cannot are ``missing``.

    Raises:
        UsageError: no such node, or every agent finds the question wrong.
        EnvironmentProblem: no agent can be asked, or none answers.
    """
    agents = _agents(services, nodes)
    found = await asyncio.gather(*(_opened(services, url, wanted) for url in agents.values()))
    streams = [_Stream(node, one) for node, one in zip(agents, found, strict=True) if isinstance(one, aiohttp.ClientResponse)]
    problems = {node: one for node, one in zip(agents, found, strict=True) if isinstance(one, FlowgaugeError)}
    if not streams:
        raise next(iter(problems.values()))
    return Capture(streams, {node: str(problem) for node, problem in problems.items()}, wanted.max_bytes)


async def standing(services: Services) -> list[dict[str, Any]]:
    """What each node keeps: ``agent.heads.Standing`` with ``node`` and ``problem``, which is empty when it answers."""
    agents = _agents(services, ())
    return list(await asyncio.gather(*(_standing(services, node, url) for node, url in agents.items())))


async def freeze(services: Services, duration: str) -> list[dict[str, str]]:
    """Lets every agent keep what it has for ``duration``; per node a ``problem``, empty when it does."""
    agents = _agents(services, ())
    return list(await asyncio.gather(*(_frozen(services, node, url, duration) for node, url in agents.items())))


def _agents(services: Services, nodes: Sequence[str]) -> dict[str, str]:
    known = services.settings.agents
    if not known:
        raise EnvironmentProblem(_NO_AGENTS)
    if unknown := [node for node in nodes if node not in known]:
        raise UsageError(f"there is no node {unknown[0]!r} with an agent; there are {', '.join(sorted(known))}")
    return {node: url for node, url in sorted(known.items()) if not nodes or node in nodes}


async def _opened(services: Services, url: str, wanted: Wanted) -> aiohttp.ClientResponse | FlowgaugeError:
    try:
        within = aiohttp.ClientTimeout(total=None, connect=2, sock_connect=2, sock_read=_SILENT_S)
        return await _asked(services, f"{url}/api/v1/heads", wanted.params(), within)
    except FlowgaugeError as error:
        return error


async def _standing(services: Services, node: str, url: str) -> dict[str, Any]:
    try:
        answer = await _asked(services, f"{url}/api/v1/heads/standing", {})
        return {"node": node, "problem": "", **await answer.json()}
    except (FlowgaugeError, aiohttp.ClientError, TimeoutError, ValueError) as error:
        return {"node": node, "problem": why(error)}


async def _frozen(services: Services, node: str, url: str, duration: str) -> dict[str, str]:
    try:
        (await _asked(services, f"{url}/api/v1/heads/freeze", {"for": duration})).close()
    except FlowgaugeError as error:
        return {"node": node, "problem": str(error)}
    return {"node": node, "problem": ""}


async def _asked(
    services: Services, url: str, params: Mapping[str, str], within: aiohttp.ClientTimeout = _TOLD_WITHIN
) -> aiohttp.ClientResponse:
    """An agent's answer, when it is one; the agent's own words otherwise."""
    headers = {"Authorization": f"Bearer {services.settings.agent_token}"}
    given = {name: value for name, value in params.items() if value}
    try:
        answer = await services.client().get(url, params=given, headers=headers, timeout=within)
        if answer.status == 200:
            return answer
        problem = UsageError if answer.status == 400 else EnvironmentProblem
        raise problem(_words(await answer.json(content_type=None)))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise EnvironmentProblem(f"the agent does not answer: {why(error)}") from error


def _words(body: Any) -> str:
    """The sentence of an agent's error."""
    told = body.get("error") if isinstance(body, dict) else None
    return str(told["message"]) if isinstance(told, dict) and "message" in told else "the agent refuses"
