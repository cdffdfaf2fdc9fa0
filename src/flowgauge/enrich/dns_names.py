# SPDX-License-Identifier: Apache-2.0
"""Names that clients resolved to reach an address, as agents saw the answers: who learned what when, and for how long it holds.

An answer names an address from when it came until ``HOLD_MS`` after its time to live or its client's last use of it:
clients and their pools use addresses for longer than they may, and connections last. Of several that hold at a flow's time
that of the flow's own client counts, else one of a client on the same node, else anybody's; among equals the latest.

Before: options data, by :mod:`flowgauge.pipeline.exporters`; after: ``stage``. Safe from any thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.enrich.as_of import Bytes, Ints, Times
from flowgauge.flow.names import Names
from flowgauge.runtime.metrics import Sample
from flowgauge.schema.enums import IDENTITY_CONFIDENCE, code
from flowgauge.schema.told import Answer

MAX_ADDRESSES = 65_536
"""Addresses that have a name, about 1 kB each with few clients; beyond it the one resolved longest ago goes, and is counted."""
MAX_PER_ADDRESS = 32
"""Answers kept of one address (clients, and names one after the other); that which was given longest ago goes."""
HOLD_MS = 600_000
"""How long an answer is believed after its time to live, or its client's last flow: agents tell it again within this."""
AT_ONCE_MS = 100
"""Times of flows go by the kernel's ticks, whose place on the clock is read beside a busy machine's other work: a flow may seem
to have begun so long before its name was known."""
_MOST_TTL_S = 7 * 86_400
"""A longer time to live is cut to this (RFC 8767 §4)."""

_EXACT, _LIKELY, _GUESS = (code(IDENTITY_CONFIDENCE, label) for label in ("exact", "likely", "guess"))


@dataclass(slots=True)
class _Held:
    """One client's answer: first and last time that it came, and until when it holds."""

    client: bytes
    node: str
    name: str
    first_ms: int
    last_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Ends:
    """One end of some rows: whose address it is, who talks to it, where that was seen, and when; all of shape (n,).

    ``address`` and ``client`` are positions among the distinct addresses, ``node`` codes of the reporters' names.
    """

    address: Ints
    client: Ints
    node: Ints
    start_ms: Times
    end_ms: Times


@dataclass(frozen=True, slots=True)
class Named:
    """For each row a name, empty without one, and a code of ``enums.IDENTITY_CONFIDENCE``."""

    names: Names
    confidence: Bytes


class DnsNames:
    """All answers that are remembered.

    Args:
        forgot: told how many answers made room for newer ones.
    """

    def __init__(self, forgot: Callable[[int], None] = lambda _: None) -> None:
        self._lock = threading.Lock()
        self._forgot = forgot
        self._by_address: OrderedDict[bytes, list[_Held]] = OrderedDict()
        self._named = 0

    def learn(self, node: str, answers: Iterable[Answer]) -> None:
        """Takes in what an agent saw on its node; what was told before, too, and in any order."""
        forgotten = 0
        with self._lock:
            for answer in answers:
                forgotten += self._learn(node, answer)
                self._by_address.move_to_end(answer.address)
                if len(self._by_address) > MAX_ADDRESSES:
                    forgotten += len(self._by_address.popitem(last=False)[1])
        if forgotten:
            self._forgot(forgotten)

    def known(self, distinct: Sequence[bytes]) -> npt.NDArray[np.bool_]:
        """Which of the addresses have or had a name."""
        with self._lock:
            if not self._by_address:
                return np.zeros(len(distinct), np.bool_)
            return np.fromiter((address in self._by_address for address in distinct), np.bool_, len(distinct))

    def names(self, distinct: Sequence[bytes], nodes: Sequence[str], ends: Ends) -> Named:
        """The name of each row's end, as of its flow's time."""
        keys = (ends.address.astype(np.int64) << 42) | (ends.client.astype(np.int64) << 20) | ends.node
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        with self._lock:
            found = [
                self._candidates(distinct[ends.address[row]], distinct[ends.client[row]], nodes[ends.node[row]])
                for row in first.tolist()
            ]
            chosen, confidence = _chosen(found, group.reshape(-1), ends)
            every = [held for candidates in found for held, _ in candidates]
            self._use(every, np.where(confidence == _EXACT, chosen, 0), ends.end_ms)
        names = Names.from_strings(["", *(held.name for held in every)])
        self._named += int(np.count_nonzero(chosen))
        return Named(names.take(chosen), confidence)

    def samples(self) -> Iterable[Sample]:
        """Figures for ``/metrics``."""
        yield Sample("enrich_dns_addresses", "Addresses with a name from answers of DNS.", len(self._by_address))
        yield Sample("enrich_dns_named_ends", "Ends of flows named by answers of DNS.", self._named, cumulative=True)

    def _learn(self, node: str, answer: Answer) -> int:
        """How many answers made room."""
        held = self._by_address.setdefault(answer.address, [])
        until_ms = answer.learned_ms + min(answer.ttl_s, _MOST_TTL_S) * 1000 + HOLD_MS
        for one in held:
            if one.client == answer.client and one.name == answer.name and answer.learned_ms <= one.until_ms:
                one.node = node or one.node
                one.first_ms, one.last_ms = min(one.first_ms, answer.learned_ms), max(one.last_ms, answer.learned_ms)
                one.until_ms = max(one.until_ms, until_ms)
                return 0
        held.append(_Held(answer.client, node, answer.name, answer.learned_ms, answer.learned_ms, until_ms))
        if len(held) <= MAX_PER_ADDRESS:
            return 0
        held.remove(min(held, key=lambda one: one.last_ms))
        return 1

    def _candidates(self, address: bytes, client: bytes, node: str) -> list[tuple[_Held, int]]:
        """Answers about an address with how well they fit, the best fitting and latest last."""
        fitting = [(one, _fit(one, client, node)) for one in self._by_address.get(address, ())]
        return sorted(fitting, key=lambda pair: (-pair[1], pair[0].last_ms))

    def _use(self, every: Sequence[_Held], chosen: npt.NDArray[np.intp], end_ms: Times) -> None:
        """Lets answers hold on whose own clients use them; rows of others tell nothing of that."""
        used = np.full(len(every) + 1, np.iinfo(np.int64).min)
        np.maximum.at(used, chosen, end_ms)
        for number in np.unique(chosen[chosen > 0]).tolist():
            one = every[number - 1]
            one.until_ms = max(one.until_ms, int(used[number]) + HOLD_MS)


def _fit(held: _Held, client: bytes, node: str) -> int:
    if held.client == client:
        return _EXACT
    return _LIKELY if node and held.node == node else _GUESS


def _chosen(
    found: Sequence[Sequence[tuple[_Held, int]]], group: npt.NDArray[np.intp], ends: Ends
) -> tuple[npt.NDArray[np.intp], Bytes]:
    """For each row the number (from 1; 0 for none) of the best of its group's candidates that holds at its time, and the fit.

    An answer that came again after the flow had begun counts from when it came first.
    """
    times = [(held.first_ms, held.last_ms, held.until_ms, fit) for candidates in found for held, fit in candidates]
    table = np.array(times, np.int64).reshape(-1, 4)
    counts = np.array([len(candidates) for candidates in found], np.int64)
    firsts, size = np.cumsum(counts) - counts, counts[group]
    chosen, best = np.zeros(len(group), np.intp), np.full(len(group), -1, np.int64)
    known_by = ends.start_ms + AT_ONCE_MS
    for number in range(int(counts.max(initial=0))):
        at = firsts[group] + np.minimum(number, size - 1)
        first_ms, last_ms, until_ms, fit = table[at].T
        holds = (number < size) & (first_ms <= known_by) & (ends.start_ms <= until_ms)
        score = (np.int64(_GUESS) - fit) << 48 | np.where(last_ms <= known_by, last_ms, first_ms)
        better = holds & (score >= best)
        chosen[better], best[better] = at[better] + 1, score[better]
    confidence = np.where(chosen > 0, table[chosen - 1, 3] if len(table) else 0, 0)
    return chosen, confidence.astype(np.uint8)
