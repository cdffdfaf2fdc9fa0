# SPDX-License-Identifier: Apache-2.0
"""The exporter's rules as the kernel has them: what a packet must be like, and what becomes of it.

Before: :mod:`flowgauge.agent.rules`, which makes them of the document's; after: ``programs/rules.h``. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from flowgauge.ebpf import abi

ANY_PORT = (0, 65_535)
ANYWHERE = (bytes(16), 0)


class Action(IntEnum):
    """What becomes of a packet; as ``enum rule_action``."""

    ACCEPT = 0
    REJECT = 1
    DROPS_ONLY = 2
    """Not counted as a packet; told of as a drop, should the kernel drop it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """All that is not None must hold of a packet.

    Attributes:
        action: what becomes of it.
        sampling: one of this many packets (or flows) that the rule accepts is taken.
        block, peer_block: first address and number of bits that count, of one end and of the other, whichever is which.
        src_ports, dst_ports, ports: first and last; ``ports`` of either end.
        proto, icmp_type, icmp_code: IANA numbers.
        tcp_flags: (mask, of these the flags that are set).
        egress: whether the packet was leaving by the device where it was seen first.
        ipv6: no packet of IPv4, whose addresses a block such as ``::/0`` would hold in the form in which they are kept.
    """

    action: Action = Action.ACCEPT
    sampling: int = 1
    block: tuple[bytes, int] = ANYWHERE
    peer_block: tuple[bytes, int] = ANYWHERE
    src_ports: tuple[int, int] = ANY_PORT
    dst_ports: tuple[int, int] = ANY_PORT
    ports: tuple[int, int] = ANY_PORT
    proto: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    tcp_flags: tuple[int, int] | None = None
    egress: bool | None = None
    ipv6: bool = False


def sample_below(rate: int) -> int:
    """Of random 32-bit numbers those below are taken, one of ``rate``; 0 takes all."""
    return round(2**32 / rate) if rate > 1 else 0


def in_kernel(rules: Sequence[Rule]) -> bytes:
    """``abi.RULE``, always ``abi.MAX_RULES`` of them."""
    if len(rules) > abi.MAX_RULES:
        raise ValueError(f"{len(rules)} rules, of at most {abi.MAX_RULES}")
    rows = np.zeros(abi.MAX_RULES, abi.RULE)
    for row, rule in zip(rows, rules, strict=False):
        row["block"], row["mask"] = _block(rule.block)
        row["peer_block"], row["peer_mask"] = _block(rule.peer_block)
        row["src_ports"], row["dst_ports"], row["ports"] = rule.src_ports, rule.dst_ports, rule.ports
        row["sample_below"], row["action"] = sample_below(rule.sampling), rule.action
        row["tcp_mask"], row["tcp_flags"] = rule.tcp_flags or (0, 0)
        row["proto"], row["egress"] = rule.proto or 0, bool(rule.egress)
        row["icmp_type"], row["icmp_code"] = rule.icmp_type or 0, rule.icmp_code or 0
        row["criteria"] = _criteria(rule)
    return rows.tobytes()


def _criteria(rule: Rule) -> int:
    named = {
        abi.RULE_PROTO: rule.proto,
        abi.RULE_ICMP_TYPE: rule.icmp_type,
        abi.RULE_ICMP_CODE: rule.icmp_code,
        abi.RULE_TCP_FLAGS: rule.tcp_flags,
        abi.RULE_DIRECTION: rule.egress,
        abi.RULE_IPV6: True if rule.ipv6 else None,
    }
    return sum(bit for bit, value in named.items() if value is not None)


def _block(block: tuple[bytes, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Address and mask, each as the two words that the kernel reads in memory."""
    first, length = block
    mask = ((1 << 128) - (1 << (128 - length))).to_bytes(16, "big")
    return tuple(np.frombuffer(first, np.uint64).tolist()), tuple(np.frombuffer(mask, np.uint64).tolist())
