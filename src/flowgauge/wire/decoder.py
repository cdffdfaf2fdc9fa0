# SPDX-License-Identifier: Apache-2.0
"""The decoder of flow export datagrams, whatever their protocol: bytes in, columns out.

Before it: a listener or a capture file; after it: ``pipeline.normalise``. One thread at a time may call a decoder. It never
raises for anything that a datagram holds: what is malformed is counted and named, the rest is decoded.

Protocols are told apart by the version in their first two bytes. Those with templates (IPFIX; NetFlow v9 is alike) share
:mod:`flowgauge.wire.template_decoder`; others add a function that yields blocks of records.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.enums import FLOW_FORMAT, code
from flowgauge.wire import ipfix
from flowgauge.wire.assemble import Block, assemble
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Decoded, OptionsData, Problem
from flowgauge.wire.detail import ExtraReader, details
from flowgauge.wire.intake import Intake
from flowgauge.wire.origins import Origins
from flowgauge.wire.pool import Pool
from flowgauge.wire.problems import MAX_PROBLEMS, Problems
from flowgauge.wire.scratch import Scratch
from flowgauge.wire.template_decoder import TemplateDecoder
from flowgauge.wire.views import ByteView

MAX_DETAILED_PROBLEMS = 1 << 17
"""Malformed places described a batch when everything is to be told: memory has a bound all the same."""

__all__ = ["Decoded", "Decoder", "OptionsData", "Problem"]


class Decoder:
    """Decodes batches of datagrams; keeps the exporters' templates and sequence numbers between them.

    Args:
        pen: private enterprise number under which our own agents send their elements.
        detailed: whether to tell ``Decoded.details``, and every malformed place: for files, it costs a multiple.
    """

    def __init__(self, pen: int = 32473, *, detailed: bool = False) -> None:
        self._extra = ExtraReader(pen) if detailed else None
        self._received = 0
        self._ipfix = TemplateDecoder(pen, ipfix.VERSION, code(FLOW_FORMAT, "ipfix"))
        self._scratch, self._pool = Scratch(), Pool()

    def decode(self, datagrams: Datagrams) -> Decoded:
        """Decodes a batch; never raises for anything that a datagram holds."""
        if not len(datagrams):
            return Decoded(FlowBatch({}, 0), (), {}, ())
        payloads = np.ascontiguousarray(datagrams.payloads)
        view = ByteView(payloads.reshape(-1))
        slot = payloads.shape[1]
        base = np.arange(len(datagrams), dtype=np.int64) * slot
        end = base + np.clip(datagrams.lengths, 0, slot)
        numbers = np.arange(self._received, self._received + len(datagrams))
        self._received += len(datagrams)
        origins = Origins(np.ascontiguousarray(datagrams.source_addr), datagrams.received_ns, numbers, base)
        self._scratch.reset()
        problems = Problems(origins, MAX_DETAILED_PROBLEMS if self._extra else MAX_PROBLEMS)
        counts = Counter[str]()
        intake = Intake(view, slot, origins, problems, counts, self._scratch)
        blocks: list[Block] = []
        options: list[OptionsData] = []

        versions = np.where(end - base >= 2, view.u16[base] if slot >= 2 else 0, 0)
        rows = np.flatnonzero(versions == ipfix.VERSION)
        counts["decode_unknown_version"] += len(datagrams) - len(rows)
        if len(rows):
            messages = ipfix.messages(view, rows, base[rows], end[rows], problems)
            sets = ipfix.sets(view, messages, problems)
            found, told = self._ipfix.decode(intake, messages, sets)
            blocks += found
            options += told
        flows = assemble(blocks, self._pool)
        counts["decode_records"] += len(flows)
        counts["decode_error_datagrams"] += problems.datagrams
        return Decoded(
            flows,
            tuple(options),
            {name: n for name, n in counts.items() if n},
            tuple(problems.found),
            problems.causes,
            intake.seen,
            details(blocks, self._extra) if self._extra else (),
        )

    def finish(self) -> dict[str, int]:
        """What is still open when receiving ends, as increments of counters: gaps that nothing fills any more."""
        return self._ipfix.finish()
