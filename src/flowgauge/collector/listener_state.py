# SPDX-License-Identifier: Apache-2.0
"""What a listener tells about itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListenerState:
    """How a listener stands.

    Attributes:
        name: transport and port, for people.
        address: host and port in use.
        buffer_bytes: what the kernel gave a UDP socket; None for TCP and TLS.
        connections: of TCP and TLS; None for UDP.
    """

    name: str
    address: tuple[str, int]
    buffer_bytes: int | None = None
    connections: int | None = None
