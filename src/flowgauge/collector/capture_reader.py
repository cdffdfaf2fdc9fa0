# SPDX-License-Identifier: Apache-2.0
"""Reads files with flow exports one after the other, as batches for one decoder, and says what is wrong with each."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Protocol

from flowgauge.collector.capture_files import opened
from flowgauge.errors import UsageError, WireError
from flowgauge.wire.captures.batches import batches
from flowgauge.wire.captures.files import FileKind, kind_of, read
from flowgauge.wire.captures.packet import Export
from flowgauge.wire.captures.source import Source
from flowgauge.wire.decoded import Decoded, Problem

PAYLOAD_SUFFIXES = frozenset({".dat", ".bin", ".dump"})
"""Names of files that are one payload even when nothing in it is known: then it is malformed, but was read."""
IN_PART: dict[str, str] = {
    "cut_datagrams": "exports of which the capture holds only the beginning (its snapshot length)",
    "fragments_given_up": "datagrams of which fragments are missing",
    "tcp_gaps": "gaps in TCP streams of IPFIX: messages are missing",
}
"""Counts of what captures have in part only, in words."""
_UNKNOWN_LINK = "unknown_link_"
_YIELDS = ("decode_records", "decode_options_records")
"""Counters of what came out of datagrams, besides what ``Decoded.seen`` has."""


class Watcher(Protocol):
    """Shows how far a file is read."""

    def of(self, path: Path, file: IO[bytes]) -> AbstractContextManager[None]:
        """Around the reading of one file."""

    def advance(self) -> None:
        """A batch was taken."""


class CaptureReader:
    """Reads files.

    Args:
        say: takes one sentence about a file.
        watcher: told of the progress.

    Attributes:
        files: those read so far, each with the number of its first datagram.
        datagrams: how many were given for decoding, those of a batch once the next is asked for.
        captured, causes: counts of what is in captures (see ``wire.captures.exports``), and of damage to files by cause.
        unreadable: how many files could not be read at all.
    """

    def __init__(self, say: Callable[[str], None], watcher: Watcher) -> None:
        self._say, self._watcher = say, watcher
        self.files: list[tuple[int, Path]] = []
        self.captured, self.causes = Counter[str](), Counter[str]()
        self.datagrams = self.unreadable = self._malformed = 0
        self._yielded = False

    def batches(self, path: Path) -> Iterator[list[Export]]:
        """The exports in one file."""
        try:
            with opened(path) as (source, below), self._watcher.of(path, below):
                yield from self._batches(path, source)
        except UsageError as error:
            self.unreadable += 1
            self._say(str(error))

    def name(self, decoded: Decoded, batch: list[Export]) -> None:
        """Says what was malformed in ``batch``, before the next is asked for."""
        for problem in decoded.problems:
            self._say(self._sentence(problem, batch))
        if (more := sum(decoded.causes.values()) - len(decoded.problems)) > 0:
            self._say(f"{self.files[-1][1]}: {more} more malformed places")
        # A decoder without details only counts these.
        unknown = decoded.counts.get("decode_unknown_version", 0) - decoded.causes.get("version", 0)
        if unknown:
            self._say(f"{self.files[-1][1]}: {unknown} datagrams of no known version")
        self._malformed += decoded.counts.get("decode_error_datagrams", 0) + unknown
        self._yielded |= bool(any(decoded.seen.values()) or any(map(decoded.counts.get, _YIELDS)))

    def exit_status(self) -> int:
        """Once all is read: 2 where a file could not be read at all, or all exports were malformed and yielded nothing."""
        nothing = bool(self._malformed) and self._malformed >= self.datagrams and not self._yielded
        if nothing:
            self._say("nothing could be decoded: every flow export is malformed")
        return 2 if nothing or self.unreadable else 0

    def _sentence(self, problem: Problem, batch: list[Export]) -> str:
        first, path = self.files[bisect_right(self.files, problem.datagram, key=lambda entry: entry[0]) - 1]
        place = problem.datagram - self.datagrams
        frame = batch[place].frame if place >= 0 else 0
        packet = f" (packet {frame})" if frame else ""
        return (f"{path}: datagram {problem.datagram - first + 1}{packet}, byte {problem.offset}: {problem.cause}: "
                f"expected {problem.expected}, found {problem.found}")  # fmt: skip

    def _batches(self, path: Path, source: Source) -> Iterator[list[Export]]:
        kind = _kind(path, source)
        self.files.append((self.datagrams, path))
        before, captured = self.datagrams, Counter[str]()
        try:
            for batch in batches(read(source, kind, captured)):
                yield batch
                self.datagrams += len(batch)
                self._watcher.advance()
        except WireError as error:
            if not captured["packets"] and self.datagrams == before:
                raise UsageError(f"{path}: {error}") from error
            self.causes[error.cause] += 1
            self._say(f"{path}: {error}")
        self.captured.update(captured)
        self._note(path, captured, self.datagrams - before)

    def _note(self, path: Path, captured: Counter[str], exports: int) -> None:
        for name, words in IN_PART.items():
            if captured[name]:
                self._say(f"{path}: {captured[name]} {words}")
        for name, count in sorted(captured.items()):
            if name.startswith(_UNKNOWN_LINK):
                link = name.removeprefix(_UNKNOWN_LINK)
                self._say(f"{path}: {count} packets of link type {link}, which is not known here")
                self.unreadable += count == captured["packets"]
        if not exports and captured["packets"]:
            self._say(f"{path}: no flow export among {captured['packets']} packets")


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
