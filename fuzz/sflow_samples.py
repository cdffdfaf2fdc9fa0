# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the program that uses it
"""The samples of sFlow datagrams as our decoder reads them: what each says of itself and of its packet, by its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from captures_of import Sent
from tshark import Place

from flowgauge.flow.rows import to_rows
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.sflow import decoder as sflow_decoder

FIXED = ("sequence", "source_type", "source_index", "rate", "pool", "drops")
"""Words of samples that are compared as they stand."""


@dataclass
class Ours:
    """Samples, and where something was named as malformed.

    Attributes:
        words: the fixed part of each sample, by its place: the first byte of its records.
        rows: the row that it became, if it has a packet.
        counters: its counters, if it has any.
        problems: places.
    """

    words: dict[Place, dict[str, int]] = field(default_factory=dict)
    rows: dict[Place, dict[str, Any]] = field(default_factory=dict)
    counters: dict[Place, dict[str, Any]] = field(default_factory=dict)
    problems: set[Place] = field(default_factory=set)


def by_us(sent: Sequence[Sent]) -> Ours:
    """What a decoder makes of a batch; it is watched while it works, since rows do not say which sample they were."""
    found, places = Ours(), list[Place]()
    samples, block = sflow_decoder.samples, sflow_decoder._block  # noqa: SLF001 - where samples become rows

    def watched_samples(intake: Any, *arguments: Any) -> Any:
        made = samples(intake, *arguments)
        for row, place in enumerate(_places(intake, made)):
            found.words[place] = {name: int(values[row]) for name, values in made.words.items()}
        return made

    def watched_block(reading: Any, heads: Any, row: Any, *arguments: Any, **options: Any) -> Any:
        every = _places(reading.intake, reading.samples)
        places.extend(every[number] for number in row.tolist())
        return block(reading, heads, row, *arguments, **options)

    with patch.multiple(sflow_decoder, samples=watched_samples, _block=watched_block):
        decoded = Decoder(detailed=True).decode(Datagrams.from_payloads([one.payload for one in sent]))
    found.rows = dict(zip(places, to_rows(decoded.flows), strict=True))
    found.counters = {(one.position >> 16, one.position & 0xFFFF): dict(one.values) for one in decoded.counters}
    found.problems = {(problem.datagram, problem.offset) for problem in decoded.problems}
    return found


def _places(intake: Any, samples: Any) -> list[Place]:
    at = samples.start - intake.origins.base[samples.datagram]
    return list(zip(samples.datagram.tolist(), at.tolist(), strict=True))
