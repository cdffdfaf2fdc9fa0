# SPDX-License-Identifier: Apache-2.0
"""The document's rules and choice of pods as the kernel program takes them. Pure.

A rule becomes one for each combination of port ranges, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from flowgauge.config import choice, values
from flowgauge.ebpf.abi_settings import CHOICE_EXCLUDE, CHOICE_INCLUDE
from flowgauge.ebpf.rules import ANY_PORT, ANYWHERE, Action, Rule


def kernel_rules(rules: Sequence[choice.Rule], sampling: int) -> tuple[Rule, ...]:
    """The rules in the kernel's form.

    Args:
        rules: ``spec.exporter.rules``.
        sampling: of rules without a rate of their own.
    """
    return tuple(one for rule in rules for one in _expanded(rule, sampling))


def choice_bits(namespaces: choice.NamespaceChoice, pods: choice.PodChoice) -> int:
    """What addresses may say, as ``ProgramOptions.choice``."""
    include = bool(namespaces.include or pods.include)
    exclude = bool(namespaces.exclude or pods.exclude)
    return (CHOICE_INCLUDE if include else 0) | (CHOICE_EXCLUDE if exclude else 0)


def _expanded(rule: choice.Rule, sampling: int) -> list[Rule]:
    ranges = [
        [_range(text) for text in texts] or [ANY_PORT] for texts in (rule.source_ports, rule.destination_ports, rule.ports)
    ]
    return [
        Rule(
            action=_action(rule),
            sampling=rule.sampling or sampling,
            block=_block(rule.cidr),
            peer_block=_block(rule.peer_cidr),
            src_ports=src,
            dst_ports=dst,
            ports=either,
            proto=rule.protocol,
            icmp_type=rule.icmp_type,
            icmp_code=rule.icmp_code,
            tcp_flags=_flags(rule.tcp_flags),
            ipv6=any(block and ":" in block for block in (rule.cidr, rule.peer_cidr)),
            egress=None if rule.direction is None else rule.direction == "egress",
        )
        for src, dst, either in product(*ranges)
    ]


def _action(rule: choice.Rule) -> Action:
    if rule.drops:
        return Action.DROPS_ONLY
    return Action.REJECT if rule.action == "reject" else Action.ACCEPT


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    return int(first), int(last if dash else first)


def _block(cidr: str | None) -> tuple[bytes, int]:
    if not cidr:
        return ANYWHERE
    from flowgauge.flow.prefixes import prefix  # noqa: PLC0415 - brings numpy, which the kernel need not wait for

    return prefix(cidr)


def _flags(names: Sequence[str]) -> tuple[int, int] | None:
    """(mask, flags that are set in it)."""
    if not names:
        return None
    bits = {name: values.TCP_FLAGS[name.removeprefix("!")] for name in names}
    mask = there = 0
    for name, bit in bits.items():
        mask |= bit
        there |= 0 if name.startswith("!") else bit
    return mask, there
