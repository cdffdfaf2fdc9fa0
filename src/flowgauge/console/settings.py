# SPDX-License-Identifier: Apache-2.0
"""What the console needs to know at its start; the command line, the supervisor and tests fill it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flowgauge.errors import UsageError
from flowgauge.runtime.loopback import is_loopback

MIN_TOKEN_LENGTH = 16
"""Shorter tokens can be guessed over a network."""


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """Settings of console and API.

    Attributes:
        store_url, store_secret: the store; the secret may be the embedded store's reader key.
        collector_url: base URL of the collector's HTTP (live flows, its ledger); empty: nothing is live.
        address, port: where to listen; port 0 takes a free one.
        token: what a client must show; empty is allowed on loopback only.
        static_dir: folder of the built page; None is the one inside the package.
        cluster: name shown in the masthead; may be empty.
        agents, agent_token: node → base URL of its agent's HTTP, and what agents ask of who wants packets; none: no packets.
    """

    store_url: str
    store_secret: str = field(repr=False)
    collector_url: str = ""
    address: str = "127.0.0.1"
    port: int = 8055
    token: str = field(default="", repr=False)
    static_dir: str | None = None
    cluster: str = ""
    agents: Mapping[str, str] = field(default_factory=dict)
    agent_token: str = field(default="", repr=False)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.address)

    def check(self) -> None:
        """UsageError when the console would be open to others without a token, or an address is none."""
        if self.collector_url and not self.collector_url.startswith(("http://", "https://")):
            raise UsageError(f"{self.collector_url!r} is no address of a collector's HTTP; write http://127.0.0.1:9055")
        for node, url in self.agents.items():
            if not url.startswith(("http://", "https://")):
                raise UsageError(f"{url!r} is no address of the agent of {node}; write http://127.0.0.1:9056")
        if self.agents and not self.agent_token:
            raise UsageError("agents give packets only to who has their token: give it, too (--agent-token-file)")
        if not self.loopback and not self.token:
            raise UsageError(
                f"{self.address} is reachable from other machines, so the console needs a token: put one into a file "
                "(for example: head -c 24 /dev/urandom | base64 > token) and give --token-file token"
            )
        if self.token and len(self.token) < MIN_TOKEN_LENGTH:
            raise UsageError(f"the console's token is shorter than {MIN_TOKEN_LENGTH} characters; use a longer one")
