# SPDX-License-Identifier: Apache-2.0
"""Datagrams that came twice, byte for byte, as they do over redundant paths: found before they are decoded, and left out.

Sequence numbers alone do not tell (devices restart, number wrongly or not at all), and reading every byte of every datagram
would cost a tenth of decoding NetFlow 5. What is compared is a hash of sender, length, the first 64 bytes (every protocol's
header with its time and number, and the beginning of the first record), the last 32, and 8 in the middle. Datagrams
that agree in all of that and are not the same would have to hold the same first and last flow. Before: listeners; after: the
decoder.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgauge.wire.datagrams import Datagrams

REMEMBERED = 1 << 16
"""Datagrams remembered at most, 8 bytes each; a newer one takes the place of an older with the same lowest bits. Of copies that
come within a second, at 60,000 datagrams a second four of ten are still found, at 6,000 nineteen of twenty."""
MAX_SENDERS = 1024
"""Senders whose copies are counted apart; those of more are counted together."""

_HEAD_WORDS, _TAIL = 8, range(8, 40, 8)
_SHORT = 96
"""Datagrams below it are hashed whole, one by one."""
_ODD = np.random.default_rng(20).integers(1, 1 << 63, 18, np.int64).astype(np.uint64) * np.uint64(2) + np.uint64(1)

Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]


class Repeats:
    """The memory of one stream of datagrams; used by one thread.

    Attributes:
        by_sender: datagrams left out, by the sender's address (16 bytes).
    """

    def __init__(self) -> None:
        self._known = np.zeros(REMEMBERED, np.uint64)
        self._row = np.zeros(REMEMBERED, np.int64)
        self.by_sender: dict[bytes, int] = {}

    def without(self, datagrams: Datagrams) -> tuple[Datagrams, int]:
        """What did not come before, and how many did."""
        again = self._again(_hashes(datagrams))
        if not again.any():
            return datagrams, 0
        for sender in datagrams.source_addr[again]:
            key = bytes(sender)
            if key in self.by_sender or len(self.by_sender) < MAX_SENDERS:
                self.by_sender[key] = self.by_sender.get(key, 0) + 1
        return datagrams.take(~again), int(np.count_nonzero(again))

    def _again(self, hashes: Hashes) -> Mask:
        """Which were known, or came twice in this batch."""
        place = (hashes & np.uint64(REMEMBERED - 1)).astype(np.intp)
        again: Mask = self._known[place] == hashes
        rows = np.arange(len(hashes))
        self._row[place[::-1]] = rows[::-1]  # the first of each place
        first = self._row[place]
        again |= (first != rows) & (hashes[first] == hashes)
        self._known[place] = hashes
        return again


def _hashes(datagrams: Datagrams) -> Hashes:
    """A hash of each, never 0."""
    lengths = datagrams.lengths.astype(np.int64)
    found: Hashes = _of_sender(datagrams) + lengths.astype(np.uint64) * _ODD[0]
    long = np.flatnonzero(lengths >= _SHORT)
    if len(long):
        found[long] += _of_content(datagrams.payloads, long, lengths[long])
    for row in np.flatnonzero(lengths < _SHORT).tolist():
        found[row] ^= np.uint64(hash(datagrams.payloads[row, : lengths[row]].tobytes()) & 0xFFFFFFFFFFFFFFFF)
    found = (found ^ (found >> np.uint64(30))) * _ODD[1]
    found ^= found >> np.uint64(27)
    return found | np.uint64(1 << 63)


def _of_sender(datagrams: Datagrams) -> Hashes:
    words = np.ascontiguousarray(datagrams.source_addr).view(np.uint64)
    found: Hashes = words[:, 0] * _ODD[2] + (words[:, 1] ^ words[:, 1] >> np.uint64(31)) * _ODD[3]
    found += datagrams.source_port.astype(np.uint64) * _ODD[4]
    return found


def _of_content(payloads: npt.NDArray[np.uint8], row: npt.NDArray[np.intp], lengths: npt.NDArray[np.int64]) -> Hashes:
    """Of datagrams of at least ``_SHORT`` bytes."""
    octets, slot = np.ascontiguousarray(payloads).reshape(-1), payloads.shape[1]
    words = np.ndarray((len(octets) - 7,), np.uint64, buffer=octets.data, strides=(1,))
    base = row * slot
    heads = np.ndarray((len(payloads), _HEAD_WORDS), np.uint64, buffer=octets.data, strides=(slot, 8))
    places = np.concatenate([base + lengths // 2, *(base + lengths - at for at in _TAIL)]).reshape(-1, len(row))
    head, rest = heads if len(row) == len(heads) else heads[row], words[places]
    found: Hashes = (head ^ head >> np.uint64(31)) @ _ODD[5 : 5 + _HEAD_WORDS]
    found += _ODD[5 + _HEAD_WORDS :] @ (rest ^ rest >> np.uint64(31))
    return found
