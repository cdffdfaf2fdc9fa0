# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the programs that use it
"""Batches of datagrams as the fuzzer keeps and changes them: its input is a list of frames, a batch is what they make.

A frame is a datagram and its sender. Exporters repeat themselves, so a batch repeats the frames of its input until it has
``BATCH`` datagrams, each time with the next sequence number and another octet in the second half, where data rather than
templates are. The same input makes the same batch.
"""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
_HEAD = struct.Struct("!HB")


@dataclass(frozen=True, slots=True)
class Frame:
    """One datagram and who sends it: two ports of each of four addresses."""

    payload: bytes
    sender: int = 0


def pack(frames: Sequence[Frame]) -> bytes:
    """The fuzzer's input."""
    return b"".join(_HEAD.pack(len(one.payload), one.sender) + one.payload for one in frames[:MAX_FRAMES])


def unpack(data: bytes) -> list[Frame]:
    """Any bytes are frames: the last one is as long as they last."""
    frames, at = [], 0
    while at + _HEAD.size <= len(data) and len(frames) < MAX_FRAMES:
        length, sender = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        frames.append(Frame(data[at : at + min(length, MAX_BYTES)], sender % SENDERS))
        at += length
    return frames


def repeated(frames: Sequence[Frame], seed: int) -> list[Frame]:
    """A whole batch; none of no frames."""
    chance, batch = random.Random(seed), list(frames)  # noqa: S311 - the same for a seed
    while frames and len(batch) < BATCH:
        turn, (one, sender) = len(batch) // len(frames), _of(frames[len(batch) % len(frames)])
        at = SEQUENCE_AT.get(int.from_bytes(one[:2]), len(one))
        if at + 4 <= len(one):
            struct.pack_into("!I", one, at, (int.from_bytes(one[at : at + 4]) + turn) & 0xFFFFFFFF)
        if len(one) > MIN_SLOT_BYTES:
            one[chance.randrange(max(MIN_SLOT_BYTES, len(one) // 2), len(one))] = chance.getrandbits(8)
        batch.append(Frame(bytes(one), sender))
    return batch


def _of(frame: Frame) -> tuple[bytearray, int]:
    return bytearray(frame.payload), frame.sender


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
            frames[at] = Frame(frames[at].payload, chance.randrange(SENDERS))
        elif what < 0.6:
            frames[at] = Frame(self._octets(frames[at].payload, MAX_BYTES)[:MAX_BYTES], frames[at].sender)
        else:
            payload = bytearray(frames[at].payload)
            mutator.change(payload)
            frames[at] = Frame(bytes(payload[:MAX_BYTES]), frames[at].sender)
