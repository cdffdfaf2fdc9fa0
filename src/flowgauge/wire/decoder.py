# SPDX-License-Identifier: Apache-2.0
"""The decoder of flow export datagrams, whatever their protocol: bytes in, columns out.

Before it: a listener or a capture file; after it: ``pipeline.thin`` and the spool. One thread at a time may call a decoder. It
never raises for anything that a datagram holds: what is malformed is counted and named, the rest is decoded.

Protocols are told apart by the version in their first two bytes, sFlow's in its first four. Those with templates (IPFIX,
NetFlow v9) share :mod:`flowgauge.wire.template_decoder`; NetFlow 1, 5 and 7 are :mod:`flowgauge.wire.netflow_legacy`, sFlow is
:mod:`flowgauge.wire.sflow`. Each yields blocks of records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from flowgauge.flow.batch import FlowBatch
from flowgauge.wire import netflow_legacy
from flowgauge.wire.assemble import Block, assemble
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import CounterData, Decoded, OptionsData, Problem, StreamReport
from flowgauge.wire.decoder_state import StateError, restore, saved
from flowgauge.wire.detail import ExtraReader, details
from flowgauge.wire.dialect import IPFIX, NETFLOW9
from flowgauge.wire.elements import Elements
from flowgauge.wire.intake import Intake
from flowgauge.wire.layout import Layouts
from flowgauge.wire.netflow_legacy import LegacyDecoder
from flowgauge.wire.origins import Origins
from flowgauge.wire.pool import Pool
from flowgauge.wire.problems import MAX_PROBLEMS, Problems
from flowgauge.wire.sampling import DISPUTED
from flowgauge.wire.scratch import Scratch
from flowgauge.wire.sflow import headers as sflow_headers
from flowgauge.wire.sflow.decoder import SflowDecoder
from flowgauge.wire.sflow.sampling import SourceSampling
from flowgauge.wire.template_decoder import TemplateDecoder
from flowgauge.wire.views import ByteView, Offsets

MAX_DETAILED_PROBLEMS = 1 << 17
"""Malformed places described a batch when everything is to be told: memory has a bound all the same."""

SWEEP_NS = 10_000_000_000
"""How often templates are looked at for their age."""

__all__ = ["Decoded", "Decoder", "OptionsData", "Problem", "StateError", "StreamReport"]


@dataclass(slots=True)
class _Found:
    """What the datagrams of one batch hold."""

    blocks: list[Block] = field(default_factory=list)
    options: list[OptionsData] = field(default_factory=list)
    counters: list[CounterData] = field(default_factory=list)

    def add(self, blocks: Iterable[Block], options: Iterable[OptionsData] = (), counters: Iterable[CounterData] = ()) -> None:
        """Adds what the datagrams of one protocol hold."""
        self.blocks += blocks
        self.options += options
        self.counters += counters


class Decoder:
    """Decodes batches of datagrams; keeps the exporters' templates and sequence numbers between them.

    Args:
        pen: private enterprise number under which our own agents send their elements.
        detailed: whether to tell ``Decoded.details``, and every malformed place: for files, it costs a multiple.
        template_lifetime_s: forget a template not announced for so long; None: never (some devices announce once a session).
        elements: those that are known, where users added some (see ``element_files``) or decoders share them; with the number
            of our agents' own, so that ``pen`` is not used.
        inner: of sampled packets in tunnels, report the packet within (see ``packet_headers``).

    Attributes:
        fresh: whether datagrams come when they were sent (not from a file, or a connection that had stalled): what is far from
            the receive time then comes from a wrong clock (``time_exported_ns``). May be set at any time.
    """

    def __init__(self, pen: int = 32473, *, detailed: bool = False, inner: bool = False,
                 template_lifetime_s: float | None = None, elements: Elements | None = None) -> None:  # fmt: skip
        elements = elements or Elements(pen)
        self.fresh = False
        self._extra = ExtraReader(elements) if detailed else None
        self._received = 0
        self._layouts = Layouts(elements)
        self._templated = {dialect.version: TemplateDecoder(dialect, elements, self._layouts) for dialect in (IPFIX, NETFLOW9)}
        self._lifetime_ns = None if template_lifetime_s is None else int(template_lifetime_s * 1e9)
        self._swept_ns = 0
        self._legacy = {version: LegacyDecoder(version) for version in netflow_legacy.VERSIONS}
        self._sflow = SflowDecoder(inner=inner)
        self._scratch, self._pool = Scratch(), Pool()

    def decode(self, datagrams: Datagrams) -> Decoded:
        """Decodes a batch; never raises for anything that a datagram holds."""
        if not len(datagrams):
            return Decoded(FlowBatch({}, 0), (), {}, ())
        intake, end = self._intake(datagrams)
        intake.counts["decode_templates_expired"] += self._expired(int(datagrams.received_ns.max()))
        found = self._by_protocol(intake, end)
        flows = assemble(found.blocks, self._pool, fresh=self.fresh)
        counts, problems = intake.counts, intake.problems
        counts["decode_records"] += len(flows)
        if "sampling_source" in flows:
            counts["decode_rates_disputed"] += int(np.count_nonzero(flows.array("sampling_source") == DISPUTED))
        counts["decode_error_datagrams"] += problems.datagrams
        return Decoded(
            flows,
            tuple(found.options),
            {name: n for name, n in counts.items() if n},
            tuple(problems.found),
            problems.causes,
            intake.seen,
            details(found.blocks, self._extra) if self._extra else (),
            tuple(found.counters),
        )

    def _intake(self, datagrams: Datagrams) -> tuple[Intake, Offsets]:
        """The batch as it is passed along, and where in its buffer each datagram ends."""
        payloads = np.ascontiguousarray(datagrams.payloads)
        slot = payloads.shape[1]
        base = np.arange(len(datagrams), dtype=np.int64) * slot
        numbers = np.arange(self._received, self._received + len(datagrams))
        self._received += len(datagrams)
        origins = Origins(
            np.ascontiguousarray(datagrams.source_addr), datagrams.received_ns, numbers, base, datagrams.source_port
        )
        self._scratch.reset()
        limit = MAX_DETAILED_PROBLEMS if self._extra else MAX_PROBLEMS
        missing = None if datagrams.missing is None else np.maximum(datagrams.missing, 0).astype(np.int64)
        problems = Problems(origins, limit, missing)
        intake = Intake(ByteView(payloads.reshape(-1)), slot, origins, problems, Counter(), self._scratch, self.fresh)
        end = base + np.clip(datagrams.lengths, 0, slot)
        if missing is not None:
            cut = np.flatnonzero(missing)
            here = (end - base)[cut]
            problems.add_all(cut, end[cut], "datagram_cut", here + missing[cut], here)
        return intake, end

    def _by_protocol(self, intake: Intake, end: Offsets) -> _Found:
        """What the datagrams hold, each read by the decoder of its version; ``end``: int64 (n,)."""
        view, base = intake.view, intake.origins.base
        found = _Found()
        versions = np.where(end - base >= 2, view.u16[base] if intake.slot >= 2 else 0, 0)
        known = np.zeros(len(base), np.bool_)
        for version, templated in self._templated.items():
            rows = np.flatnonzero(versions == version)
            known[rows] = True
            if len(rows):
                found.add(*templated.decode(intake, rows, base[rows], end[rows]))
        for version, decoder in self._legacy.items():
            rows = np.flatnonzero(versions == version)
            known[rows] = True
            if len(rows):
                found.add(decoder.decode(intake, rows, base[rows], end[rows]))
        rows = np.flatnonzero((versions == 0) & (end - base >= 4))
        rows = rows[view.u32[base[rows]] == sflow_headers.VERSION]
        known[rows] = True
        if len(rows):
            found.add(*self._sflow.decode(intake, rows, base[rows], end[rows]))
        self._name_unknown(intake, np.flatnonzero(~known), versions)
        return found

    def _name_unknown(self, intake: Intake, rows: Offsets, versions: Offsets) -> None:
        intake.counts["decode_unknown_version"] += len(rows)
        if self._extra and len(rows):
            told = versions[rows].astype(np.int64)
            intake.problems.add_all(rows, intake.origins.base[rows], "version", "1, 5, 7, 9, 10 or sFlow 5", told)

    def reports(self) -> list[StreamReport]:
        """How each observation domain of each exporter stands; from the thread that decodes."""
        templated = (decoder.reports() for decoder in self._templated.values())
        legacy = (decoder.reports() for decoder in self._legacy.values())
        return list(chain(*templated, *legacy, self._sflow.reports()))

    def save(self) -> bytes:
        """What a decoder should know after a restart, for ``restore``: templates, and when exporters started."""
        return saved({version: templated.streams for version, templated in self._templated.items()})

    def restore(self, content: bytes, now_ns: int, wanted: Callable[[bytes], bool] = lambda _: True) -> int:
        """Takes over what another decoder has saved of ``wanted`` exporters (by address), provisionally; how many templates.

        ``StateError`` if it cannot be read.
        """
        streams = {version: each.streams for version, each in self._templated.items()}
        return restore(content, streams, self._layouts, now_ns, wanted)

    def _expired(self, now_ns: int) -> int:
        self._swept_ns = min(self._swept_ns, now_ns)  # our clock may have been set back
        if self._lifetime_ns is None or now_ns - self._swept_ns < SWEEP_NS:
            return 0
        self._swept_ns = now_ns
        return sum(templated.expire(now_ns - self._lifetime_ns) for templated in self._templated.values())

    def finish(self) -> dict[str, int]:
        """What is still open when receiving ends, as increments of counters: gaps that nothing fills any more."""
        open_ = Counter[str]()
        finishes = [decoder.finish for decoder in self._templated.values()]
        for finish in (*finishes, *(decoder.finish for decoder in self._legacy.values()), self._sflow.finish):
            open_.update(finish())
        return dict(open_)

    def sampling(self) -> Sequence[SourceSampling]:
        """The configured and the effective sampling rate of each sFlow data source."""
        return self._sflow.sampling()
