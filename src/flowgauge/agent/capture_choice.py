# SPDX-License-Identifier: Apache-2.0
"""What the choice of pods, the rules and chance say to captured packets, as ``programs/choice.h`` and ``rules.h`` do.

Rules by direction match nothing here: the device that counts a packet is known only at the end of the interval. Before:
:mod:`flowgauge.agent.capture_packets`; after: :mod:`flowgauge.agent.capture_table`. Not thread-safe.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from flowgauge.agent.capture_packets import Mask, Numbers, Packets
from flowgauge.ebpf.abi import Structured
from flowgauge.ebpf.abi_settings import CHOICE_EXCLUDE, CHOICE_INCLUDE
from flowgauge.ebpf.chosen import Bits
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.ebpf.rules import Action, Rule, sample_below
from flowgauge.schema.roles import CLIENT_PORTS_FROM

_ADDRESS = np.dtype((np.void, 16))


class Choice:
    """The choice that ``options`` make; no address is chosen at first."""

    def __init__(self, options: ProgramOptions) -> None:
        self._options = options
        self._random = np.random.default_rng()
        self._addresses, self._bits = np.empty(0, _ADDRESS), np.empty(0, np.uint32)

    def choose(self, addresses: Bits) -> None:
        """Sets what is said of addresses."""
        self._addresses = np.array(sorted(addresses), _ADDRESS)
        self._bits = np.array([addresses[address.tobytes()] for address in self._addresses], np.uint32)

    def apply(self, packets: Packets) -> tuple[Packets, int, int]:
        """(those that are taken, how many are left out by pods and rules, how many by chance)."""
        options = self._options
        if options.sampling <= 1 and not options.rules and not options.choice:
            return packets, 0, 0
        rule = _first_match(packets, options.rules)
        accepting = np.array([True, *(one.action is Action.ACCEPT for one in options.rules)])
        wanted = accepting[rule] & self._of_chosen_pods(packets)
        filtered = int(packets.packets[~wanted].sum())
        packets = replace(packets, rule=rule).take(wanted)
        taken = self._by_chance(packets)
        sampled_out = int((packets.packets - taken).sum())
        return _thinned(packets, taken).take(taken > 0), filtered, sampled_out

    def _by_chance(self, packets: Packets) -> Numbers:
        """How many of each packet's segments are taken, each by its own chance."""
        below = np.array([sample_below(rate) or 1 << 32 for rate in self._options.rates()], np.uint64)[packets.rule]
        if self._options.sampling_mode == "flow":
            return np.where(symmetric_hash(packets) < below, packets.packets, np.uint64(0))
        return self._random.binomial(packets.packets.astype(np.int64), below / float(1 << 32)).astype(np.uint64)

    def _of_chosen_pods(self, packets: Packets) -> Mask:
        if not self._options.choice:
            return np.ones(len(packets), np.bool_)
        ends = self._said(packets.words[:, :2]) | self._said(packets.words[:, 2:4])
        found: Mask = (ends & CHOICE_EXCLUDE) == 0
        if self._options.choice & CHOICE_INCLUDE:
            found &= (ends & CHOICE_INCLUDE) != 0
        return found

    def _said(self, words: Numbers) -> npt.NDArray[np.uint32]:
        if not len(self._addresses):
            return np.zeros(len(words), np.uint32)
        wanted = np.ascontiguousarray(words).view(_ADDRESS).reshape(-1)
        at = np.minimum(np.searchsorted(self._addresses, wanted), len(self._addresses) - 1)
        return np.where(self._addresses[at] == wanted, self._bits[at], np.uint32(0))


def _thinned(packets: Packets, taken: Numbers) -> Packets:
    """With ``taken`` segments of each packet, and their share of its bytes."""
    return replace(packets, packets=taken, bytes=packets.bytes * taken // np.maximum(packets.packets, np.uint64(1)))


def _first_match(packets: Packets, rules: tuple[Rule, ...]) -> npt.NDArray[np.uint8]:
    """The number of the first rule that matches each packet, from 1; 0 without."""
    found = np.zeros(len(packets), np.uint8)
    keys = packets.keys
    for number, rule in enumerate(rules, 1):
        found[(found == 0) & _matches(rule, packets, keys)] = number
    return found


def _matches(rule: Rule, packets: Packets, keys: Structured) -> Mask:
    if rule.egress is not None:
        return np.zeros(len(packets), np.bool_)
    src, dst = packets.words[:, :2], packets.words[:, 2:4]
    found = (_in_block(src, rule.block) & _in_block(dst, rule.peer_block)) | (
        _in_block(dst, rule.block) & _in_block(src, rule.peer_block)
    )
    found &= _in_range(keys["src_port"], rule.src_ports) & _in_range(keys["dst_port"], rule.dst_ports)
    found &= _in_range(keys["src_port"], rule.ports) | _in_range(keys["dst_port"], rule.ports)
    for name, value in (("proto", rule.proto), ("icmp_type", rule.icmp_type), ("icmp_code", rule.icmp_code)):
        if value is not None:
            found &= keys[name] == value
    if rule.tcp_flags is not None:
        mask, there = rule.tcp_flags
        found &= (packets.tcp_flags & np.uint32(mask)) == there
    if rule.ipv6:
        found &= ~_in_block(src, _ALL_IPV4)
    return found


_ALL_IPV4 = (bytes(10) + b"\xff\xff" + bytes(4), 96)


def _in_block(words: Numbers, block: tuple[bytes, int]) -> Mask:
    first, length = block
    mask = np.frombuffer(((1 << 128) - (1 << (128 - length))).to_bytes(16, "big"), np.uint64)
    found: Mask = (((words ^ np.frombuffer(first, np.uint64)) & mask) == 0).all(axis=1)
    return found


def _in_range(ports: npt.NDArray[np.uint16], bounds: tuple[int, int]) -> Mask:
    found: Mask = (ports >= bounds[0]) & (ports <= bounds[1])
    return found


def symmetric_hash(packets: Packets) -> Numbers:
    """The 32-bit hash of each flow that decides about sampling: ``symmetric_hash`` of ``programs/packet.h``."""
    words, keys = packets.words, packets.keys
    src_port, dst_port = keys["src_port"].astype(np.uint64), keys["dst_port"].astype(np.uint64)
    proto = keys["proto"].astype(np.uint64) << np.uint64(32)
    from_client, to_client = src_port >= CLIENT_PORTS_FROM, dst_port >= CLIENT_PORTS_FROM
    by_src, by_dst = from_client & ~to_client, to_client & ~from_client
    parts = [
        np.select([by_src, by_dst], [one, other], one ^ other)
        for one, other in ((words[:, 0], words[:, 2]), (words[:, 1], words[:, 3]), (src_port, dst_port))
    ]
    return _mixed(parts[0], parts[1], parts[2] | proto)


def _mixed(a: Numbers, b: Numbers, c: Numbers) -> Numbers:
    found: Numbers = a * np.uint64(0x9E3779B97F4A7C15)
    found = (found ^ found >> np.uint64(32) ^ b) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ found >> np.uint64(29) ^ c) * np.uint64(0x94D049BB133111EB)
    found >>= np.uint64(32)
    return found
