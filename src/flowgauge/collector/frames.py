# SPDX-License-Identifier: Apache-2.0
"""The spool's file format: decoded batches one behind the other, each in a frame that can be checked by itself.

A frame is a header (magic, rows, bytes, CRC-32 of the body) and a body: an Arrow IPC stream of one record batch, LZ4 in its
buffers (measured: 28 B a flow and 0.2 CPU seconds a million; Zstandard takes half the space and twice the time). A file that
ends within a frame, as after a crash, is read up to there.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from flowgauge.errors import DataError
from flowgauge.flow.arrow import from_arrow, to_arrow
from flowgauge.flow.batch import FlowBatch

_HEADER = struct.Struct("<4sIII")
_MAGIC = b"FGS1"
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_READ_OPTIONS = pa.ipc.IpcReadOptions(use_threads=False)
"""Waking threads for a column each costs more than a column does."""


def frame(batch: FlowBatch) -> bytes:
    """A batch as a frame."""
    data = to_arrow(batch)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, data.schema, options=_OPTIONS) as stream:
        stream.write_batch(data)
    body = sink.getvalue()
    return _HEADER.pack(_MAGIC, len(batch), body.size, zlib.crc32(body)) + body.to_pybytes()


def unframe(data: bytes) -> FlowBatch:
    """The batch of a frame that was never on disk; DataError when it is none."""
    for _, body in _bodies(io.BytesIO(data)):
        batch = _batch(body)
        if batch is not None:
            return batch
    raise DataError("not a frame of flows")


def read(path: Path) -> Iterator[tuple[int, FlowBatch | None]]:
    """(rows, batch) of each frame of a file, None for one that is damaged as far as that can be told; OSError as ``open``."""
    with path.open("rb") as stream:
        for rows, body in _bodies(stream):
            yield rows, _batch(body)


def rows_of(path: Path) -> int:
    """How many rows a file claims, by its headers alone."""
    found = 0
    with path.open("rb") as stream:
        for rows, size, _ in _headers(stream):
            found += rows
            stream.seek(size, os.SEEK_CUR)
    return found


def _headers(stream: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """(rows, bytes of the body, its checksum) of each frame; whoever asks for the next leaves ``stream`` behind the body."""
    while len(header := stream.read(_HEADER.size)) == _HEADER.size:
        magic, rows, size, checksum = _HEADER.unpack(header)
        if magic != _MAGIC:
            return
        yield rows, size, checksum


def _bodies(stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """(rows, body) of each frame, one in memory at a time; None instead of one that is cut off or not as its checksum says."""
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    for rows, size, checksum in _headers(stream):
        body = stream.read(min(size, end - stream.tell()))
        yield rows, body if len(body) == size and zlib.crc32(body) == checksum else None


def _batch(body: bytes | None) -> FlowBatch | None:
    if body is None:
        return None
    try:
        return from_arrow(pa.ipc.open_stream(pa.py_buffer(body), options=_READ_OPTIONS).read_next_batch())
    except (pa.ArrowException, StopIteration, DataError):
        return None
