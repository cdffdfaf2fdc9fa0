# SPDX-License-Identifier: Apache-2.0
"""For tests: records as NetObserv's agents make them, and a client that sends them as such an agent does."""

from __future__ import annotations

import ipaddress
from typing import Any

import grpc

from flowgauge.wire.pbflow.messages import METHOD, RECORD, RECORDS, SERVICE

STARTED_NS, ENDED_NS = 1_767_000_000_123_456_789, 1_767_000_001_000_000_000


def record(**more: Any) -> Any:
    """A TCP flow from 10.0.0.1:40000 to 10.0.0.9:5432; ``more`` sets fields, ``__`` for those within messages."""
    values: dict[str, Any] = {
        "eth_protocol": 2048, "direction": 1, "bytes": 1234, "packets": 5, "interface": "eth0", "flags": 0x112,
        "agent_ip__ipv4": address("192.0.2.7"), "network__src_addr__ipv4": address("10.0.0.1"),
        "network__dst_addr__ipv4": address("10.0.0.9"), "network__dscp": 46, "transport__src_port": 40_000,
        "transport__dst_port": 5432, "transport__protocol": 6, "data_link__src_mac": 0x112233445566,
        "time_flow_start__seconds": STARTED_NS // 10**9, "time_flow_start__nanos": STARTED_NS % 10**9,
        "time_flow_end__seconds": ENDED_NS // 10**9, "time_flow_end__nanos": ENDED_NS % 10**9, **more,
    }  # fmt: skip
    made = RECORD()
    for path, value in values.items():
        *inner, name = path.split("__")
        place = made
        for part in inner:
            place = getattr(place, part)
        setattr(place, name, value)
    return made


def address(text: str) -> int:
    """An IPv4 address as the protocol has it."""
    return int(ipaddress.IPv4Address(text))


def call(*entries: Any) -> bytes:
    """One gRPC message."""
    batch = RECORDS()
    batch.entries.extend(entries)
    content: bytes = batch.SerializeToString()
    return content


class Agent:
    """Sends to ``port`` of this machine, in clear or with ``credentials``."""

    def __init__(self, port: int, credentials: Any = None) -> None:
        target = f"127.0.0.1:{port}"
        self._channel = grpc.secure_channel(target, credentials) if credentials else grpc.insecure_channel(target)
        self._send: Any = self._channel.unary_unary(f"/{SERVICE}/{METHOD}")

    def send(self, payload: bytes, timeout_s: float = 60) -> bytes:
        """The answer; grpc.RpcError when there is none."""
        answer: bytes = self._send(payload, timeout=timeout_s)
        return answer

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()
