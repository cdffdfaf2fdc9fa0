# SPDX-License-Identifier: Apache-2.0
"""Leaves flows out so that totals stay right: one of N by configuration, and more of exporters that send too fast.

Which flows stay is decided by a hash of what both directions of a connection have in common, so that a connection's
directions, and all collectors, agree. Of what stays the sampling rate is multiplied by what was left out: sums that scale by
it are unbiased. A rate limit only lowers the threshold of the same hash, so the flows that stay at a lower rate are among
those of a higher one. Before: the decoder; after: the spool, so what is left out costs nothing more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgauge.flow.batch import ColumnData, FlowBatch
from flowgauge.flow.hashes import Hashes, flow_hashes
from flowgauge.pipeline.exporters import ExporterDirectory, ExporterRows
from flowgauge.pipeline.normalise import sampling
from flowgauge.pipeline.tally import Counts
from flowgauge.schema.enums import SAMPLING_ALGORITHM, code

BURST_S = 2.0
"""An exporter may send the flows of so many seconds of its limit at once: agents send in bursts, one an interval."""

MAX_SENDERS = 10_000
"""Senders whose rates are remembered (about 200 B each); beyond it the one heard least recently begins anew."""

_FLOW, _OTHER = code(SAMPLING_ALGORITHM, "flow"), code(SAMPLING_ALGORITHM, "other")
_U32_MAX = 0xFFFFFFFF
_U64_MAX = (1 << 64) - 1


class Thin:
    """Counts flows by exporter, and leaves out those that are not to be kept. Used by the decode thread.

    Args:
        counts: ledger of what is left out.
        keep_one_of: 1 keeps all; may be changed at any time.
        limit_per_s: flows a second that one exporter (address) may keep; 0 is no limit; may be changed at any time.
    """

    def __init__(self, directory: ExporterDirectory, counts: Counts, *, keep_one_of: int = 1, limit_per_s: int = 0) -> None:
        self._directory, self._counts = directory, counts
        self._buckets: dict[bytes, _Bucket] = {}
        self.keep_one_of, self.limit_per_s = keep_one_of, limit_per_s

    def __call__(self, batch: FlowBatch) -> FlowBatch:
        """What is kept of a decoded batch."""
        now_ns = int(batch.array("time_received_ns").max(initial=0))
        rows = self._directory.count(batch, now_ns)
        one_of = self.keep_one_of
        if one_of == 1 and not self.limit_per_s:
            return batch
        hashes = flow_hashes(batch)
        wanted = hashes <= np.uint64(_U64_MAX // one_of)
        left_out = len(batch) - int(np.count_nonzero(wanted))
        self._counts.add("pipeline_thinned", left_out)
        factor = np.full(len(batch), one_of, np.uint64)
        if self.limit_per_s:
            factor *= self._factors(rows, wanted, now_ns)
        if not (factor > 1).any():
            return batch
        kept = wanted & (hashes <= np.uint64(_U64_MAX) // factor)
        self._counts.add("pipeline_rate_limited", int(np.count_nonzero(wanted & ~kept)))
        return batch.with_columns(scaled(batch, rows, factor)).take(kept)

    def _factors(self, rows: ExporterRows, wanted: npt.NDArray[np.bool_], now_ns: int) -> Hashes:
        """For each row, by what the flows of its sender are to be thinned further."""
        index: dict[bytes, int] = {}
        senders = np.array([index.setdefault(one.addr, len(index)) for one in rows.exporters], np.intp)[rows.codes]
        offered = np.bincount(senders[wanted], minlength=len(index)).tolist()
        factors = [self._bucket(addr).factor(offered[number], self.limit_per_s, now_ns) for addr, number in index.items()]
        return np.array(factors, np.uint64)[senders]

    def _bucket(self, addr: bytes) -> _Bucket:
        bucket = self._buckets.pop(addr, None) or _Bucket()
        self._buckets[addr] = bucket  # last in the dict: heard most recently
        if len(self._buckets) > MAX_SENDERS:
            del self._buckets[next(iter(self._buckets))]
        return bucket


class _Bucket:
    """The flows that one sender may still keep."""

    __slots__ = ("_allowed", "_at_ns")

    def __init__(self) -> None:
        self._allowed, self._at_ns = float("inf"), 0

    def factor(self, offered: int, limit_per_s: int, now_ns: int) -> int:
        """1 while there is room for what is offered, else what makes it fit."""
        if self._at_ns - now_ns > BURST_S * 1e9:  # our clock was set back; batches that overtake each other are nearer
            self._at_ns = now_ns
        passed_s = max(0, now_ns - self._at_ns) / 1e9
        allowed = min(limit_per_s * BURST_S, self._allowed + passed_s * limit_per_s)
        factor = max(1, -(-offered // max(1, int(allowed))))
        self._allowed = max(0.0, allowed - offered / factor)
        self._at_ns = max(now_ns, self._at_ns)
        return factor


def scaled(batch: FlowBatch, rows: ExporterRows, factor: Hashes) -> dict[str, ColumnData]:
    """Sampling columns of flows each of which stands for ``factor`` now; an unknown rate counts as 1."""
    known = sampling(batch, rows)
    rate = known["sampling_rate"]
    assert isinstance(rate, np.ndarray)  # noqa: S101 - it is a column of numbers
    more = factor > 1
    told = batch.array("sampling_algorithm")
    algorithm = np.where(more, np.where((rate > 1) & (told != _FLOW), _OTHER, _FLOW), told)
    rate = np.where(more, np.minimum(np.maximum(rate, 1).astype(np.uint64) * factor, _U32_MAX), rate)
    return {**known, "sampling_rate": rate.astype(np.uint32), "sampling_algorithm": algorithm.astype(np.uint8)}
