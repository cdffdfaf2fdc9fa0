# SPDX-License-Identifier: Apache-2.0
"""Which connections a node's kernel translates, as its connection tracking lists them (proc: ``net/nf_conntrack``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flowgauge.runtime import linux

_LIST = Path("/proc/thread-self/net/nf_conntrack")
_PROTOCOL = re.compile(r"^ipv4\s+\d+\s+\w+\s+(\d+)\s")
_TUPLE = re.compile(r"src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)")


@dataclass(frozen=True, slots=True)
class Translated:
    """A connection over IPv4 that reached another end than the one it was sent to, and got an answer from there.

    Attributes:
        node: whose kernel translates.
        proto: number of the protocol, one with ports.
        client: address and port that opened it.
        service: what it was sent to; ``backend`` what it reached.
    """

    node: str
    proto: int
    client: tuple[str, int]
    service: tuple[str, int]
    backend: tuple[str, int]


def translated(node: str, netns: str) -> list[Translated]:
    """What the kernel of ``node`` translates now; nothing where it has no such list, or keeps it from us."""
    with linux.in_netns(netns):
        try:
            text = _LIST.read_text(encoding="ascii")
        except OSError:
            return []
    return list(parsed(node, text))


def parsed(node: str, text: str) -> Iterator[Translated]:
    """The connections of ``node``, each a line, that go elsewhere and that were answered."""
    for line in text.splitlines():
        protocol, tuples = _PROTOCOL.match(line), _TUPLE.findall(line)
        if protocol is None or len(tuples) != 2 or "[UNREPLIED]" in line:
            continue
        (source, target, source_port, target_port), (replier, _, reply_port, _) = tuples
        service, backend = (target, int(target_port)), (replier, int(reply_port))
        if service != backend:
            yield Translated(node, int(protocol[1]), (source, int(source_port)), service, backend)
