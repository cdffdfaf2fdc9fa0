# SPDX-License-Identifier: Apache-2.0
"""Reads files through one decoder, writes their records, names what is malformed, and keeps the statistics."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from flowgauge.cli.decode_progress import Progress
from flowgauge.cli.decode_rows import rows
from flowgauge.cli.decode_write import Writer
from flowgauge.collector.capture_files import opened
from flowgauge.errors import UsageError, WireError
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.normalise import sampling
from flowgauge.wire.captures.batches import batches, datagrams
from flowgauge.wire.captures.files import FileKind, kind_of, read
from flowgauge.wire.captures.packet import Export
from flowgauge.wire.captures.source import Source
from flowgauge.wire.decoded import Decoded, Problem
from flowgauge.wire.decoder import Decoder

PAYLOAD_SUFFIXES = frozenset({".dat", ".bin", ".dump"})
"""Names of files that are one payload even when nothing in it is known: then it is malformed, but was read."""
_NOTES = {
    "cut_datagrams": "exports of which the capture holds only the beginning (its snapshot length)",
    "fragments_given_up": "datagrams of which fragments are missing",
    "tcp_gaps": "gaps in TCP streams of IPFIX: messages are missing",
}


class Decoding:
    """One run of ``flowgauge decode``.

    Attributes:
        unreadable: how many files could not be read at all.
    """

    def __init__(self, writer: Writer, pen: int, *, everything: bool) -> None:
        self._writer, self._everything = writer, everything
        self._decoder = Decoder(pen, detailed=True)
        self._exporters = ExporterDirectory()
        self._files: list[tuple[int, Path]] = []
        self._datagrams = 0
        self._counts, self._causes, self._seen, self._captured = (Counter[str]() for _ in range(4))
        self._progress = Progress()
        self.unreadable = 0

    def read(self, path: Path) -> None:
        """Reads one file."""
        try:
            with opened(path) as (source, below), self._progress.of(path, below):
                self._read(path, source)
        except UsageError as error:
            self.unreadable += 1
            self._say(str(error))

    def finish(self) -> None:
        """Ends the output."""
        self._counts.update(self._decoder.finish())
        self._writer.close()

    def stats(self) -> dict[str, object]:
        """What was found, for ``--stats``."""
        counts, seen = self._counts, self._seen
        return {
            "files": len(self._files),
            "packets": self._captured["packets"],
            "datagrams": self._datagrams,
            "templates": seen["templates"],
            "options_templates": seen["options_templates"],
            "data_records": counts["decode_records"],
            "options_records": counts["decode_options_records"],
            "records_recovered_late": counts["decode_late_records"],
            "sets_without_template": counts["decode_pending_dropped_sets"],
            "decode_errors": {cause: count for cause, count in sorted(self._causes.items()) if count},
            "error_datagrams": counts["decode_error_datagrams"],
            "sflow_samples": {name.removeprefix("sflow_"): seen[name] for name in sorted(seen) if name.startswith("sflow_")},
            "sequence_gaps": counts["sequence_gap_records"],
            "sequence_late_datagrams": counts["sequence_late_datagrams"],
            "sequence_duplicate_datagrams": counts["sequence_duplicate_datagrams"],
            "sequence_resets": counts["sequence_resets"],
            "other_datagrams": self._captured["other_datagrams"],
            **{name: self._captured[name] for name in _NOTES},
        }

    def _read(self, path: Path, source: Source) -> None:
        kind = _kind(path, source)
        self._files.append((self._datagrams, path))
        before, captured = self._datagrams, Counter[str]()
        try:
            for batch in batches(read(source, kind, captured)):
                self._decode(batch)
        except WireError as error:
            self._damaged(path, error, readable=bool(captured["packets"] or self._datagrams > before))
        self._captured.update(captured)
        self._note(path, captured, self._datagrams - before)

    def _decode(self, batch: list[Export]) -> None:
        decoded = self._decoder.decode(datagrams(batch))
        self._exporters.learn(decoded.options)
        if len(decoded.flows):
            rates = sampling(decoded.flows, self._exporters.rows(decoded.flows))
            decoded = replace(decoded, flows=decoded.flows.with_columns(rates))
        for part in rows(decoded, everything=self._everything):
            self._writer.write(part)
        self._counts.update(decoded.counts)
        self._causes.update(decoded.causes)
        self._seen.update(decoded.seen)
        self._name(decoded, batch)
        self._datagrams += len(batch)
        self._progress.advance()

    def _name(self, decoded: Decoded, batch: list[Export]) -> None:
        for problem in decoded.problems:
            self._say(self._sentence(problem, batch))
        if (more := sum(decoded.causes.values()) - len(decoded.problems)) > 0:
            self._say(f"{self._files[-1][1]}: {more} more malformed places")

    def _sentence(self, problem: Problem, batch: list[Export]) -> str:
        first, path = self._files[bisect_right(self._files, problem.datagram, key=lambda entry: entry[0]) - 1]
        place = problem.datagram - self._datagrams
        frame = batch[place].frame if place >= 0 else 0
        packet = f" (packet {frame})" if frame else ""
        return (f"{path}: datagram {problem.datagram - first + 1}{packet}, byte {problem.offset}: {problem.cause}: "
                f"expected {problem.expected}, found {problem.found}")  # fmt: skip

    def _damaged(self, path: Path, error: WireError, *, readable: bool) -> None:
        """A file that breaks off; one that does so before its first packet could not be read at all."""
        if not readable:
            raise UsageError(f"{path}: {error}") from error
        self._causes[error.cause] += 1
        self._say(f"{path}: {error}")

    def _note(self, path: Path, captured: Counter[str], exports: int) -> None:
        for name, words in _NOTES.items():
            if captured[name]:
                self._say(f"{path}: {captured[name]} {words}")
        for link, count in _unknown_links(captured):
            self._say(f"{path}: {count} packets of link type {link}, which is not known here")
            if count == captured["packets"]:
                self.unreadable += 1
        if not exports and captured["packets"]:
            self._say(f"{path}: no flow export among {captured['packets']} packets")

    def _say(self, sentence: str) -> None:
        self._progress.clear()
        print(f"flowgauge: {sentence}", file=sys.stderr)


def _kind(path: Path, source: Source) -> FileKind:
    """What the file is; UsageError when it is nothing that holds flow exports."""
    try:
        kind = kind_of(source)
    except WireError as error:
        raise UsageError(f"{path}: {error}") from error
    if not source.peek(1):
        raise UsageError(f"{path}: the file is empty")
    if kind is FileKind.UNKNOWN and path.suffix not in PAYLOAD_SUFFIXES:
        raise UsageError(f"{path}: neither a capture, nor an IPFIX file, nor the payload of a flow export")
    return kind


def _unknown_links(captured: Counter[str]) -> Iterator[tuple[str, int]]:
    for name, count in sorted(captured.items()):
        if name.startswith("unknown_link_"):
            yield name.removeprefix("unknown_link_"), count
