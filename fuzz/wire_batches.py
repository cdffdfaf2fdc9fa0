# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the programs that use it
"""Batches of datagrams as the fuzzer keeps and changes them: its input is a list of frames, a batch is what they make.

A frame is a datagram, its sender, and how much of its end is missing. Exporters repeat themselves, so a batch repeats the
frames of its input until it has ``BATCH`` datagrams, each time with the next sequence number and another octet in the second
half, where data rather than templates are. The same input makes the same batch.
"""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flowgauge.flow.addresses import packed
from flowgauge.wire.datagrams import MIN_SLOT_BYTES, Datagrams

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import flow_mutations
import wire_mutations
from capture_kit import reading

TESTS = Path(__file__).parents[1] / "tests"
BATCH = 256
"""Datagrams of one execution."""
MAX_FRAMES = 64
MAX_BYTES = wire_mutations.MAX_BYTES
SENDERS = 8
SEQUENCE_AT = {5: 16, 7: 16, 9: 12, 10: 8}
"""Where each version keeps its sequence number."""
CUT_SHARE = 0.1
"""Of the changes: a datagram is cut, as by a capture's snapshot length."""
MAX_MISSING_BYTES = 0xFFFF
_HEAD = struct.Struct("!HBH")
HEAD_BYTES = _HEAD.size


@dataclass(frozen=True, slots=True)
class Frame:
    """What is there of one datagram, who sends it (two ports of each of four addresses), and how many bytes are not there."""

    payload: bytes
    sender: int = 0
    missing: int = 0


def pack(frames: Sequence[Frame]) -> bytes:
    """The fuzzer's input."""
    return b"".join(_HEAD.pack(len(one.payload), one.sender, one.missing) + one.payload for one in frames[:MAX_FRAMES])


def unpack(data: bytes) -> list[Frame]:
    """Any bytes are frames: the last one is as long as they last."""
    frames, at = [], 0
    while at + HEAD_BYTES <= len(data) and len(frames) < MAX_FRAMES:
        length, sender, missing = _HEAD.unpack_from(data, at)
        at += HEAD_BYTES
        frames.append(Frame(data[at : at + min(length, MAX_BYTES)], sender % SENDERS, missing))
        at += length
    return frames


def repeated(frames: Sequence[Frame], seed: int) -> list[Frame]:
    """A whole batch; none of no frames."""
    chance, batch = random.Random(seed), list(frames)  # noqa: S311 - the same for a seed
    while frames and len(batch) < BATCH:
        turn, frame = len(batch) // len(frames), frames[len(batch) % len(frames)]
        one = bytearray(frame.payload)
        at = SEQUENCE_AT.get(int.from_bytes(one[:2]), len(one))
        if at + 4 <= len(one):
            struct.pack_into("!I", one, at, (int.from_bytes(one[at : at + 4]) + turn) & 0xFFFFFFFF)
        if len(one) > MIN_SLOT_BYTES:
            one[chance.randrange(max(MIN_SLOT_BYTES, len(one) // 2), len(one))] = chance.getrandbits(8)
        batch.append(replace(frame, payload=bytes(one)))
    return batch


def datagrams(batch: Sequence[Frame], received_ns: int) -> Datagrams:
    """As a receiver hands them on."""
    slot = max(MIN_SLOT_BYTES, *(len(one.payload) for one in batch))
    slots = np.zeros((len(batch), slot), np.uint8)
    for row, one in enumerate(batch):
        slots[row, : len(one.payload)] = np.frombuffer(one.payload, np.uint8)
    senders = np.array([one.sender for one in batch])
    addresses = np.frombuffer(b"".join(packed(f"192.0.2.{number}") for number in range(SENDERS // 2)), np.uint8)
    return Datagrams(
        payloads=slots,
        lengths=np.array([len(one.payload) for one in batch], np.int32),
        source_addr=np.ascontiguousarray(addresses.reshape(-1, 16)[senders // 2]),
        source_port=(senders % 2 + 2000).astype(np.uint16),
        received_ns=np.full(len(batch), received_ns, np.int64),
        missing=np.array([one.missing for one in batch], np.int32) if any(one.missing for one in batch) else None,
    )


def golden() -> Iterator[bytes]:
    """An input of each golden capture, and of the messages that the mutators begin with."""
    for path in sorted((TESTS / "golden").glob("*/*/*.pcap*")):
        exports, _, _ = reading(path.read_bytes())
        payloads = [bytes(export.payload) for export in exports]
        for first in range(0, len(payloads), MAX_FRAMES):
            yield pack([Frame(payload) for payload in payloads[first : first + MAX_FRAMES]])
    yield pack([Frame(payload) for payload in wire_mutations.corpus()])


class Changer:
    """Changes inputs as libFuzzer asks; ``octets`` is its own way to change one datagram."""

    def __init__(self, octets: Callable[[bytes, int], bytes]) -> None:
        self._octets = octets
        self._chance = random.Random()  # noqa: S311 - seeded by each call
        self._mutators = (wire_mutations.Mutator(0), flow_mutations.Mutator(0))

    def __call__(self, data: bytes, max_size: int, seed: int) -> bytes:
        """A changed input."""
        self._chance.seed(seed)
        for number, mutator in enumerate(self._mutators):
            mutator.seed(seed + number)
        frames = unpack(data)
        for _ in range(self._chance.choice((1, 1, 2, 4))):
            self._change(frames)
        return pack(frames)[:max_size]

    def _change(self, frames: list[Frame]) -> None:
        chance, mutator = self._chance, self._chance.choice(self._mutators)
        at, what = chance.randrange(len(frames) + 1), chance.random()
        if at == len(frames) or what < 0.1:
            frames.insert(at, Frame(mutator.datagram(), chance.randrange(SENDERS)))
            del frames[MAX_FRAMES:]
        elif what < 0.15:
            del frames[at]
        elif what < 0.2:
            chance.shuffle(frames)
        elif what < 0.25:
            frames[at] = replace(frames[at], sender=chance.randrange(SENDERS))
        elif what < 0.25 + CUT_SHARE:
            frames[at] = self._cut(frames[at])
        elif what < 0.65:
            frames[at] = replace(frames[at], payload=self._octets(frames[at].payload, MAX_BYTES)[:MAX_BYTES])
        else:
            payload = bytearray(frames[at].payload)
            mutator.change(payload)
            frames[at] = replace(frames[at], payload=bytes(payload[:MAX_BYTES]))

    def _cut(self, frame: Frame) -> Frame:
        """Mostly at some place, the rest being what is missing; sometimes as much is said to be missing as is not true."""
        chance = self._chance
        if chance.random() < 0.2:
            return replace(frame, missing=chance.choice((0, 1, 3, 4, 100, MAX_MISSING_BYTES)))
        size = chance.randrange(len(frame.payload) + 1)
        missing = min(len(frame.payload) - size + frame.missing, MAX_MISSING_BYTES)
        return replace(frame, payload=frame.payload[:size], missing=missing)
