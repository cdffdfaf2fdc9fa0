# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001, S101 - beside the programs that use it; what must hold is asserted
"""One decoder through many batches, and what must hold of each: nothing raised, in time, within memory, all accounted for."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Sequence

import numpy as np
from offered import FIRST_DATA_SET, SAMPLES, data_sets, offered
from wire_batches import Frame, datagrams

from flowgauge.schema.enums import FLOW_FORMAT, code
from flowgauge.wire.decoded import Decoded
from flowgauge.wire.decoder import MAX_DETAILED_PROBLEMS, Decoder
from flowgauge.wire.origins import OFFSET_BITS
from flowgauge.wire.problems import MAX_PROBLEMS

BATCHES_PER_DECODER = 256
"""Then its state is saved and another decoder begins with it, every second one telling every detail."""
MAX_BATCH_S, MAX_DATAGRAM_S = 0.5, 0.005
"""CPU time of a batch: the first, and the second for each of its datagrams of at most 4,000 bytes. Usual: 0.2 ms a datagram."""
MAX_BLOCKS = 2_000_000
"""Python objects that may be alive at the end of a batch: templates and waiting data are bounded. Usual: 600,000."""
MAX_BATCH_BYTES = 64 << 20
"""What Python and numpy allocate at once for one batch (at most 1 MB of datagrams), its results included."""
TRACED_EVERY = 499
STEP_NS = 10_000_000
"""Between two batches, by the clock that the decoder is told."""
_LEGACY = np.array([code(FLOW_FORMAT, name) for name in ("netflow1", "netflow5", "netflow7")])
_IN_TEMPLATES = np.array([code(FLOW_FORMAT, name) for name in ("netflow9", "ipfix", "agent")])


class Checked:
    """A decoder with state, and sums of what it did.

    Attributes:
        totals: ``batches``, ``datagrams``, ``records``, ``options``, ``malformed``, ``cut``, and what was offered.
        slowest_s: CPU seconds of the slowest datagram, each taking its batch's mean.
        peak_bytes: the most allocated for a batch that was traced.
        most_blocks: the most objects alive behind such a batch.
        recent: the batches since the decoder began, so that a failure can be shown again.
    """

    def __init__(self) -> None:
        self.totals = Counter[str]()
        self.slowest_s, self.peak_bytes, self.most_blocks = 0.0, 0, 0
        self.recent: list[Sequence[Frame]] = []
        self._decoder, self._detailed = Decoder(), False
        self._waiting = self._given = 0

    def feed(self, batch: Sequence[Frame]) -> None:
        """Decodes a batch; ``AssertionError`` if something does not hold, and whatever the decoder raises."""
        number = self.totals["batches"]
        if number and number % BATCHES_PER_DECODER == 0:
            self._restart(detailed=number // BATCHES_PER_DECODER % 2 == 1)
        self.recent.append(batch)
        traced = number % TRACED_EVERY == TRACED_EVERY - 1
        if traced:
            gc.collect()
            tracemalloc.start()
        try:
            decoded = self._timed(batch, number, limited=not traced)
            if traced:
                self.peak_bytes = max(self.peak_bytes, tracemalloc.get_traced_memory()[1])
                self.most_blocks = max(self.most_blocks, sys.getallocatedblocks())
        finally:
            tracemalloc.stop()
        assert self.peak_bytes <= MAX_BATCH_BYTES, f"{self.peak_bytes:,} bytes for one batch"
        assert self.most_blocks <= MAX_BLOCKS, f"{self.most_blocks:,} objects alive"
        self._balance(decoded, batch)

    def _timed(self, batch: Sequence[Frame], number: int, *, limited: bool) -> Decoded:
        received = datagrams(batch, (number + 1) * STEP_NS)
        started = time.process_time()
        decoded = self._decoder.decode(received)
        took = time.process_time() - started
        if limited:
            assert took <= MAX_BATCH_S + len(batch) * MAX_DATAGRAM_S, f"{took:.2f} s for {len(batch)} datagrams"
            self.slowest_s = max(self.slowest_s, took / len(batch))
        return decoded

    def _balance(self, decoded: Decoded, batch: Sequence[Frame]) -> None:
        """Offered = read + skipped, counter by counter."""
        counts, wanted = decoded.counts, offered([(one.payload, one.missing) for one in batch])
        cut = sum(one.missing > 0 for one in batch)
        assert all(count > 0 for count in counts.values()), counts
        assert counts.get("decode_records", 0) == len(decoded.flows)
        assert counts.get("decode_options_records", 0) == sum(len(told.records) for told in decoded.options)
        assert counts.get("decode_unknown_version", 0) == wanted["unknown_version"]
        assert cut <= counts.get("decode_error_datagrams", 0) <= len(batch) + self._waiting
        assert decoded.causes.get("datagram_cut", 0) == cut
        assert bool(decoded.causes) == bool(counts.get("decode_error_datagrams", 0))
        assert len(decoded.problems) <= (MAX_DETAILED_PROBLEMS if self._detailed else MAX_PROBLEMS)
        if len(decoded.flows):
            formats = decoded.flows.array("flow_format")
            assert int(np.isin(formats, _LEGACY).sum()) == wanted["legacy_records"]
        else:
            assert not wanted["legacy_records"]
        for kind in (*SAMPLES.values(), "sflow_unknown"):
            assert decoded.seen.get(kind, 0) == wanted[kind], kind
        self._balance_sets(decoded, batch, wanted)
        self.totals.update(wanted)
        self.totals.update(batches=1, datagrams=len(batch), cut=cut, records=len(decoded.flows))
        self.totals["options"] += counts.get("decode_options_records", 0)
        self.totals["malformed"] += counts.get("decode_error_datagrams", 0)
        self.totals["late"] += counts.get("decode_late_records", 0)

    def _balance_sets(self, decoded: Decoded, batch: Sequence[Frame], wanted: Counter[str]) -> None:
        """Sets without template wait, are given up and counted, or come out; nothing is read where no data set was."""
        counts = decoded.counts
        unknown, dropped = counts.get("decode_unknown_template_sets", 0), counts.get("decode_pending_dropped_sets", 0)
        assert unknown <= wanted["data_sets"]
        waiting = sum(report.waiting_sets for report in self._decoder.reports())
        most = self._waiting + unknown - dropped
        assert waiting <= most
        if "decode_template_changes" not in counts:  # then no template came that takes some of them
            assert waiting >= most - wanted["empty_data_sets"]
        self._waiting = waiting
        self._placed(decoded, batch)
        self._given += len(batch)

    def _placed(self, decoded: Decoded, batch: Sequence[Frame]) -> None:
        """Every row of a batch told in detail came from a data set of it, or of one that had waited."""
        first = self._given
        places = {
            (first + number << OFFSET_BITS) + at
            for number, one in enumerate(batch if decoded.details else ())
            for set_id, at, _ in data_sets(one.payload, one.missing)
            if set_id >= FIRST_DATA_SET
        }
        for detail in decoded.details:
            if decoded.flows.array("flow_format")[detail.first] in _IN_TEMPLATES:
                now = detail.position[detail.position >= first << OFFSET_BITS]
                assert set(now.tolist()) <= places

    def _restart(self, *, detailed: bool) -> None:
        """Another decoder with the state of this one; what waited is counted as given up."""
        finished = self._decoder.finish()
        assert finished.get("decode_pending_dropped_sets", 0) == self._waiting
        state = self._decoder.save()
        self._decoder, self._detailed = Decoder(detailed=detailed, inner=detailed), detailed
        self._waiting = self._given = 0
        self._decoder.restore(state, 0)
        self.recent.clear()
