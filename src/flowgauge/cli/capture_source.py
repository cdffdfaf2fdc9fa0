# SPDX-License-Identifier: Apache-2.0
"""Where ``flowgauge capture`` gets packets from: the agents of an instance, or a ring in this process.

After: :mod:`flowgauge.wire.captures.pcapng_merge`.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flowgauge.cli.api import Api
from flowgauge.errors import EnvironmentProblem, UsageError

_PART = "agent-"
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of each source; as ``agent.heads.Question``."""

    filter: str
    start_ns: int
    end_ns: int
    follow_ms: int
    max_bytes: int


class Source(Protocol):
    """One place where packets are captured."""

    @property
    def node(self) -> str:
        """Which node it is."""

    def pieces(self, wanted: Wanted, stopping: threading.Event) -> Iterator[bytes]:
        """Pieces of a capture file; UsageError or EnvironmentProblem when there will be none."""


@dataclass(frozen=True, slots=True)
class AgentSource:
    """An agent, by its HTTP."""

    node: str
    api: Api

    def pieces(self, wanted: Wanted, stopping: threading.Event) -> Iterator[bytes]:
        """See ``Source``."""
        params: dict[str, str | int | None] = {
            "filter": wanted.filter, "for": f"{wanted.follow_ms}ms", "max_bytes": wanted.max_bytes, "marks": 1,
            "from": wanted.start_ns // 1_000_000 if wanted.start_ns < wanted.end_ns else None,
            "to": -(-wanted.end_ns // 1_000_000) if wanted.start_ns < wanted.end_ns else None,
        }  # fmt: skip
        with self.api.stream("heads", params) as answer:
            try:
                while not stopping.is_set() and (piece := answer.read1(_PIECE_BYTES)):
                    yield piece
            except (OSError, http.client.HTTPException) as error:
                raise EnvironmentProblem(f"the capture of {self.node} broke: {error or type(error).__name__}") from error

    def freeze(self, duration: str) -> None:
        """Lets it keep what it has."""
        self.api.get("heads/freeze", {"for": duration})


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A ring in this process, for the devices that ``devices`` gives by ifIndex."""

    node: str
    netns: str
    devices: Callable[[], Mapping[int, str]]
    objects: Path | None

    def pieces(self, wanted: Wanted, stopping: threading.Event) -> Iterator[bytes]:
        """See ``Source``."""
        from flowgauge.agent.heads import Heads, Question
        from flowgauge.config.model import Enrichment
        from flowgauge.enrich.naming import Naming

        if wanted.start_ns < wanted.end_ns:
            raise UsageError(
                "the past is kept by agents of a running instance only: --past and --at do not go with --standalone"
            )
        heads = Heads(self.node, self.netns, self.devices, Naming(self.objects, Enrichment()))
        asked = Question(wanted.filter, wanted.start_ns, wanted.end_ns, wanted.follow_ms / 1000, wanted.max_bytes, marks=True)
        try:
            yield from heads.capture(asked, stopping)
        finally:
            heads.stop()


def here(patterns: Sequence[str], netns: str, objects: Path | None) -> LocalSource:
    """This machine's packets, of the devices that match one of ``patterns``; none means all.

    Raises:
        EnvironmentProblem: packets may not be captured here, or there is no such namespace.
        UsageError: no device matches.
    """
    from flowgauge.agent import privileges
    from flowgauge.agent.interface_choice import InterfaceChoice
    from flowgauge.runtime import linux

    choice = InterfaceChoice(list(patterns), [])
    if netns and not linux.netns_path(netns).exists():
        raise EnvironmentProblem(f"there is no network namespace {netns}")

    def devices() -> dict[int, str]:
        with linux.in_netns(netns) if netns else contextlib.nullcontext():
            return {index: name for index, name in socket.if_nameindex() if choice.wants(name)}

    if not privileges.may_capture():
        raise EnvironmentProblem("nothing is running here to ask, and capturing needs root (CAP_NET_RAW): run it with sudo")
    if not devices():
        raise UsageError(f"no device here matches --interface {' '.join(patterns)}")
    return LocalSource(socket.gethostname(), netns, devices, objects)


def agents(urls: Sequence[str], nodes: Sequence[str], token_file: Path | None) -> list[AgentSource]:
    """The agents at ``urls``, or those of the running instance, of ``nodes`` only when there are some; empty without instance.

    Raises:
        EnvironmentProblem: the instance's token is not for us, or it has no agents.
        UsageError: it has no such node.
    """
    from flowgauge.cli.api import base_url
    from flowgauge.cli.secret_input import in_file
    from flowgauge.runtime.instance import find

    if urls:
        token = in_file("--token-file", token_file) if token_file else ""
        return [
            AgentSource(url, Api(base_url("--agent", url, "an agent; write http://host:9056"), token, "agent")) for url in urls
        ]
    instance = find()
    if instance is None:
        return []
    found = {name.removeprefix(_PART): url for name, url in instance.parts.items() if name.startswith(_PART) and url}
    if not found:
        raise EnvironmentProblem("the running instance has no agents: capture on this machine with --standalone")
    if unknown := [node for node in nodes if node not in found]:
        raise UsageError(f"there is no node {unknown[0]}; there are {', '.join(sorted(found))}")
    kept = token_file or Path(instance.extra.get("agent_token_file", ""))
    if not os.access(kept, os.R_OK):
        raise EnvironmentProblem(
            "packet headers are only for who started the instance: run it as the same user, with sudo for root's"
        )
    token = in_file("--token-file", kept)
    return [AgentSource(node, Api(url, token, "agent")) for node, url in sorted(found.items()) if not nodes or node in nodes]
