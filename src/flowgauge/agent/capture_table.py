# SPDX-License-Identifier: Apache-2.0
"""The flow table of captured packets: what the eBPF programs do with stamps and maps, done with sorting.

A packet that crosses several devices is captured at each, and nothing marks it. So packets are added up by flow *and* point,
and at the end of an interval one point counts for each flow: the one that counted it before, else the first that saw it; what
the others saw is ``seen_before``. Before that, this node's translations join the two halves of a flow.

Before: :mod:`flowgauge.agent.capture_packets`; after: :mod:`flowgauge.agent.capture_program`. Not thread-safe.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from flowgauge.agent.capture_packets import Numbers, Packets, keys_of, words_of
from flowgauge.ebpf.abi import FLOW_KEY, FLOW_VALUE, MACS, Structured
from flowgauge.ebpf.map_reader import Entries
from flowgauge.ebpf.translations import before, match

Index = npt.NDArray[np.intp]

_OBSERVED = 4
_COMPACT_ROWS = 32_768
"""Rows of unmerged batches, above which they are merged: 3 MB."""
_REMEMBER_NS = 60_000_000_000
"""How long it is remembered which point counted a flow: an export interval is a minute at most."""
_STRADDLING_PACKETS = 8
"""A packet may be captured at the counting point just before an interval ends and elsewhere just after; more of them than this
are a flow that has moved to another device."""
_STRADDLING_NS = 1_000_000_000
_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F], np.uint64)
_NO_KEYS = np.empty(0, FLOW_KEY)
_NO_MACS = Entries(_NO_KEYS, np.empty(0, MACS))
_MIX_POINT = np.uint64(0xE7037ED1A0B428DB)


@dataclass(frozen=True, slots=True)
class Taken:
    """What an interval counted.

    Attributes:
        flows: ``abi.FLOW_KEY`` and ``abi.FLOW_VALUE``, whose ticks are ns, by the clock of the packets.
        macs: ``abi.FLOW_KEY`` and ``abi.MACS``, of the flows that have them.
        seen_before: packets that another point counted.
    """

    flows: Entries
    macs: Entries
    seen_before: int


class Table:
    """Packets since the last ``take``.

    Args:
        max_rows: pairs of flow and point that are kept; packets of others are counted in ``full``.

    Attributes:
        full: packets that found no room.
    """

    def __init__(self, max_rows: int) -> None:
        self.max_rows, self.full = max_rows, 0
        self._batches: list[Packets] = []
        self._pending = 0
        self._claims = _Claims.none()

    def add(self, packets: Packets) -> None:
        """Adds packets, which must be in the order in which they came."""
        if not len(packets):
            return
        merged = _merged(packets)
        self._batches.append(merged)
        self._pending += len(merged)
        if self._pending > max(_COMPACT_ROWS, 2 * len(self._batches[0])):
            self._compact()

    def take(self, known: Entries) -> Taken:
        """What was counted since the last time.

        Args:
            known: this node's translations, ``abi.FLOW_KEY`` and ``abi.TRANSLATION``.
        """
        if not self._batches:
            return Taken(Entries(_NO_KEYS, np.empty(0, FLOW_VALUE)), _NO_MACS, 0)
        self._compact()
        rows, self._batches, self._pending = self._batches[0], [], 0
        if len(known):
            rows = _merged(replace(rows, words=words_of(before(rows.keys, _NO_KEYS, known.keys, known.values))))
        return self._counted(rows)

    def _compact(self) -> None:
        rows = _merged(_concatenated(self._batches))
        if len(rows) > self.max_rows:
            stay = np.zeros(len(rows), np.bool_)
            stay[np.argsort(rows.at_ns, kind="stable")[: self.max_rows]] = True
            self.full += int(rows.packets[~stay].sum())
            rows = rows.take(stay)
        self._batches, self._pending = [rows], len(rows)

    def _counted(self, rows: Packets) -> Taken:
        """Chooses for each flow the point that counts."""
        hashes = _hashes(rows.words)
        order = np.lexsort((rows.at_ns, hashes))
        first = _starts(hashes[order])
        group = np.cumsum(_begins(hashes[order])) - 1
        words, points = rows.words[order[first]], rows.points[order]
        claimed, claim_end = self._claims.of(words)
        fits = np.flatnonzero(points == claimed[group])
        counting = first.copy()
        counting[group[fits]] = fits
        total = np.add.reduceat(rows.packets[order], first)
        again = (claimed > 0) & (points[counting] != claimed) & (total <= _STRADDLING_PACKETS)
        again &= rows.at_ns[order[first]] < claim_end + np.uint64(_STRADDLING_NS)
        chosen = order[counting]
        self._claims = self._claims.renewed(words[~again], rows.points[chosen][~again], rows.until_ns[chosen][~again])
        values = _values(rows, chosen)
        values["observed"] = _observed(points, first, group)
        kept = int(values["packets"][~again].sum())
        flows = Entries(keys_of(words), values).take(~again)
        return Taken(flows, _macs(flows.keys, rows.macs[chosen][~again]), int(total.sum()) - kept)


@dataclass(frozen=True, slots=True)
class _Claims:
    """Which point counted each flow, and when it did last."""

    words: Numbers
    points: npt.NDArray[np.uint32]
    last_ns: Numbers

    @classmethod
    def none(cls) -> _Claims:
        return cls(words_of(_NO_KEYS), np.empty(0, np.uint32), np.empty(0, np.uint64))

    def of(self, words: Numbers) -> tuple[npt.NDArray[np.uint32], Numbers]:
        """(point or 0, when it counted last or 0) of each flow."""
        if not len(self.words):
            return np.zeros(len(words), np.uint32), np.zeros(len(words), np.uint64)
        rows = match(keys_of(words), keys_of(self.words))
        known = rows >= 0
        return np.where(known, self.points[rows], np.uint32(0)), np.where(known, self.last_ns[rows], np.uint64(0))

    def renewed(self, words: Numbers, points: npt.NDArray[np.uint32], last_ns: Numbers) -> _Claims:
        """With the claims of an interval; older ones of the same flows are forgotten, and those long unused."""
        if not len(words):
            return self
        recent = int(last_ns.max()) - _REMEMBER_NS
        old = (self.last_ns.astype(np.int64) > recent) & (match(keys_of(self.words), keys_of(words)) < 0)
        return _Claims(
            np.concatenate([self.words[old], words]),
            np.concatenate([self.points[old], points]),
            np.concatenate([self.last_ns[old], last_ns]),
        )


def _hashes(words: Numbers) -> Numbers:
    found: Numbers = (words * _MIX).sum(axis=1, dtype=np.uint64)
    found ^= found >> np.uint64(32)
    found *= _MIX[0]
    return found


def _begins(ordered: Numbers) -> npt.NDArray[np.bool_]:
    begins = np.ones(len(ordered), np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    return begins


def _starts(ordered: Numbers) -> Index:
    return np.flatnonzero(_begins(ordered))


def _concatenated(batches: list[Packets]) -> Packets:
    if len(batches) == 1:
        return batches[0]
    return Packets(*(np.concatenate([getattr(batch, name) for batch in batches]) for name in Packets.__slots__))


def _merged(packets: Packets) -> Packets:
    """One row for each pair of flow and point: what the packets, or rows, of it add up to."""
    hashes = _hashes(packets.words) ^ packets.points.astype(np.uint64) * _MIX_POINT
    order = np.argsort(hashes, kind="stable")
    first = _starts(hashes[order])
    at = order[first]
    return Packets(
        words=packets.words[at],
        points=packets.points[at],
        packets=np.add.reduceat(packets.packets[order], first),
        bytes=np.add.reduceat(packets.bytes[order], first),
        at_ns=np.minimum.reduceat(packets.at_ns[order], first),
        until_ns=np.maximum.reduceat(packets.until_ns[order], first),
        tcp_flags=np.bitwise_or.reduceat(packets.tcp_flags[order], first),
        vlan_id=packets.vlan_id[at],
        ip_tos=packets.ip_tos[at],
        rule=packets.rule[at],
        macs=packets.macs[at],
    )


def _values(rows: Packets, chosen: Index) -> Structured:
    values = np.zeros(len(chosen), FLOW_VALUE)
    values["first_tick"], values["last_tick"] = rows.at_ns[chosen], rows.until_ns[chosen]
    for name in ("packets", "bytes", "tcp_flags", "vlan_id", "ip_tos", "rule"):
        values[name] = getattr(rows, name)[chosen]
    return values


def _macs(keys: Structured, macs: npt.NDArray[np.uint8]) -> Entries:
    """Of flows whose device has addresses; (n, 0) when nobody asked for them."""
    there = macs.any(axis=1)
    return Entries(keys[there], np.ascontiguousarray(macs[there]).reshape(-1).view(MACS)) if there.any() else _NO_MACS


def _observed(points: npt.NDArray[np.uint32], first: Index, group: Index) -> npt.NDArray[np.uint32]:
    """The first four points of each flow in the order of the packets' way; rows are ordered so."""
    found = np.zeros((len(first), _OBSERVED), np.uint32)
    place = np.arange(len(points)) - first[group]
    early = place < _OBSERVED
    found[group[early], place[early]] = points[early]
    return found
