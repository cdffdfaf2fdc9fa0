# SPDX-License-Identifier: Apache-2.0
"""The exporter's rules as the kernel has them: what a packet must be like, and what becomes of it.

Before: :mod:`flowgauge.agent.rules`, which makes them of the document's; after: ``programs/rules.h``. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import Array, c_uint64
from dataclasses import dataclass
from enum import IntEnum

from flowgauge.ebpf import abi_settings as abi

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
    """``abi.Rule``, always ``abi.MAX_RULES`` of them."""
    if len(rules) > abi.MAX_RULES:
        raise ValueError(f"{len(rules)} rules, of at most {abi.MAX_RULES}")
    return bytes((abi.Rule * abi.MAX_RULES)(*map(_row, rules)))


def _row(rule: Rule) -> abi.Rule:
    block, mask = _block(rule.block)
    peer_block, peer_mask = _block(rule.peer_block)
    tcp_mask, tcp_flags = rule.tcp_flags or (0, 0)
    return abi.Rule(
        block=block,
        mask=mask,
        peer_block=peer_block,
        peer_mask=peer_mask,
        sample_below=sample_below(rule.sampling),
        src_ports=abi.Range(*rule.src_ports),
        dst_ports=abi.Range(*rule.dst_ports),
        ports=abi.Range(*rule.ports),
        tcp_mask=tcp_mask,
        tcp_flags=tcp_flags,
        criteria=_criteria(rule),
        proto=rule.proto or 0,
        icmp_type=rule.icmp_type or 0,
        icmp_code=rule.icmp_code or 0,
        egress=bool(rule.egress),
        action=rule.action,
    )


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


def _block(block: tuple[bytes, int]) -> tuple[Array[c_uint64], Array[c_uint64]]:
    """Address and mask, each as the two words that the kernel reads in memory."""
    first, length = block
    mask = ((1 << 128) - (1 << (128 - length))).to_bytes(16, "big")
    return abi.Words.from_buffer_copy(first), abi.Words.from_buffer_copy(mask)
