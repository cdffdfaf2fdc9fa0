# SPDX-License-Identifier: Apache-2.0
"""What the eBPF programs are told when they are loaded, laid out as ``programs/settings.h`` and ``programs/rules.h`` have it.

Apart from :mod:`flowgauge.ebpf.abi` and without numpy: while that is imported, the kernel verifies the programs.
"""

from __future__ import annotations

import ctypes as c

CACHE_WAYS = 2
"""Flows of a set of the cache."""
CHOICE_INCLUDE, CHOICE_EXCLUDE = 1, 2
"""Bits of a chosen address: only flows with such an end are kept; flows with such an end are left out."""
MAX_RULES = 64
RULE_PROTO, RULE_ICMP_TYPE, RULE_ICMP_CODE, RULE_TCP_FLAGS, RULE_DIRECTION, RULE_IPV6 = 1, 2, 4, 8, 16, 32
"""Bits of ``Rule.criteria``."""

STAMP_AGENTS = 0x3F
"""The bits of a stamp that agents have, two each."""

Words = c.c_uint64 * 2
Range = c.c_uint16 * 2
"""First and last port."""
Ports = c.c_uint16 * 8


class Settings(c.Structure):
    """``struct settings``."""

    _fields_ = (
        ("sample_below", c.c_uint32),
        ("sample_flows", c.c_uint32),
        ("nat", c.c_uint32),
        ("rtt", c.c_uint32),
        ("dns", c.c_uint32),
        ("netns", c.c_uint32),
        ("cache_sets", c.c_uint32),
        ("dns_ports", Ports),
        ("turns", c.c_uint32),
        ("choice", c.c_uint32),
        ("rules", c.c_uint32),
        ("hellos", c.c_uint32),
        ("icmp_errors", c.c_uint32),
        ("tunnels", c.c_uint32),
        ("owners", c.c_uint32),
        ("macs", c.c_uint32),
        ("stores_reorder", c.c_uint32),
        ("shares_kernel", c.c_uint32),
    )


class Stamp(c.Structure):
    """``struct stamp``."""

    _fields_ = tuple((name, c.c_uint16) for name in ("node", "counted", "trace"))


class Rule(c.Structure):
    """``struct rule``."""

    _fields_ = (
        *((name, Words) for name in ("block", "mask", "peer_block", "peer_mask")),
        ("sample_below", c.c_uint32),
        *((name, Range) for name in ("src_ports", "dst_ports", "ports")),
        ("tcp_mask", c.c_uint16),
        ("tcp_flags", c.c_uint16),
        *((name, c.c_uint8) for name in ("criteria", "proto", "icmp_type", "icmp_code", "egress", "action")),
        ("reserved", c.c_uint16 * 3),
    )
