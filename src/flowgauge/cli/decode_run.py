# SPDX-License-Identifier: Apache-2.0
"""Reads files through one decoder, writes their records, names what is malformed, and keeps the statistics."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from flowgauge.cli.decode_progress import Progress
from flowgauge.cli.decode_rows import rows
from flowgauge.cli.decode_write import Writer
from flowgauge.collector.capture_reader import IN_PART, CaptureReader
from flowgauge.wire.captures.batches import datagrams
from flowgauge.wire.captures.packet import Export
from flowgauge.wire.decoder import Decoder

SAMPLES = ("flow", "expanded_flow", "counter", "expanded_counter", "discarded", "unknown")
"""Kinds of sFlow samples, as statistics name them."""
SEQUENCE = (
    "sequence_gap_records",
    "sequence_gap_datagrams",
    "sequence_gap_counter_samples",
    "sequence_gap_discarded_packets",
    "sequence_late_datagrams",
    "sequence_duplicate_datagrams",
    "sequence_resets",
)
"""Counters of the ledger that statistics have beside ``sequence_gaps``."""


class Decoding:
    """One run of ``flowgauge decode``; ``decoder`` is a detailed one."""

    def __init__(self, writer: Writer, decoder: Decoder, *, everything: bool) -> None:
        self._writer, self._everything = writer, everything
        self._decoder = decoder
        self._counts, self._causes, self._seen = (Counter[str]() for _ in range(3))
        self._backwards = 0  # rows that are the other direction of a record
        self._progress = Progress(shown=sys.stderr.isatty() and not sys.stdout.isatty())
        self._reader = CaptureReader(self._say, self._progress)

    def read(self, path: Path) -> None:
        """Reads one file."""
        for batch in self._reader.batches(path):
            self._decode(batch)

    def finish(self) -> int:
        """Ends the output, and gives the exit status."""
        self._counts.update(self._decoder.finish())
        self._writer.close()
        return self._reader.exit_status()

    def stats(self) -> dict[str, object]:
        """What was found, for ``--stats``."""
        counts, seen, captured = self._counts, self._seen, self._reader.captured
        causes = self._causes + self._reader.causes
        return {
            "files": len(self._reader.files),
            "packets": captured["packets"],
            "datagrams": self._reader.datagrams,
            "templates": seen["templates"],
            "options_templates": seen["options_templates"],
            "data_records": counts["decode_records"] - self._backwards,
            "options_records": counts["decode_options_records"],
            "records_recovered_late": counts["decode_late_records"],
            "sets_without_template": counts["decode_pending_dropped_sets"],
            "decode_errors": dict(sorted(causes.items())),
            "error_datagrams": counts["decode_error_datagrams"],
            "sflow_samples": {kind: seen[f"sflow_{kind}"] for kind in SAMPLES},
            "sflow_records_skipped": seen["skipped_records"],
            "sequence_gaps": counts["sequence_gap_records"] + counts["sequence_gap_datagrams"],
            **{name: counts[name] for name in SEQUENCE},
            "other_datagrams": captured["other_datagrams"],
            **{name: captured[name] for name in IN_PART},
        }

    def _decode(self, batch: list[Export]) -> None:
        decoded = self._decoder.decode(datagrams(batch))
        for part in rows(decoded, everything=self._everything):
            self._writer.write(part)
        self._counts.update(decoded.counts)
        self._backwards += sum(detail.last - detail.first for detail in decoded.details if detail.place is not None)
        self._causes.update(decoded.causes)
        self._seen.update(decoded.seen)
        self._reader.name(decoded, batch)

    def _say(self, sentence: str) -> None:
        self._progress.clear()
        print(f"flowgauge: {sentence}", file=sys.stderr)
