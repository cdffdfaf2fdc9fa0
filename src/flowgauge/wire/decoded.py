# SPDX-License-Identifier: Apache-2.0
"""What the decoder hands on: flows as columns, options as plain values, counts and a few named problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flowgauge.flow.batch import FlowBatch

Value = int | str | bytes | float


@dataclass(frozen=True, slots=True)
class OptionsData:
    """One set of options data of one exporter: few, so plain Python values.

    Attributes:
        exporter_addr: the sender's address, 16 bytes.
        obs_domain_id: its observation domain.
        records: one mapping a record, scope fields included. Keys: IANA element names (``interfaceName``,
            ``samplingInterval`` …), for our own elements the name in the column registry or the ledger
            (``kernel_packets_seen``), else ``pen<PEN>_<id>``.
        received_ns: wall time of arrival.
    """

    exporter_addr: bytes
    obs_domain_id: int
    records: tuple[Mapping[str, Value], ...]
    received_ns: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """One malformed place: enough to find the byte.

    Attributes:
        exporter_addr: the sender's address, 16 bytes.
        cause: short and constant (``set_length``), fit for a counter's label or a rate limit's key.
        offset: byte within the datagram.
        expected, found: in words.
    """

    exporter_addr: bytes
    cause: str
    offset: int
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one batch of datagrams held.

    Attributes:
        flows: public columns (before ``normalise``): what the records carry, and ``time_received_ns``, ``exporter_addr``,
            ``obs_domain_id``, ``template_id``, ``flow_format``, ``record_kind``. Rows are in no particular order.
        options: options data, in order of arrival.
        counts: increments by ledger counter name; only what is not zero.
        problems: at most ``MAX_PROBLEMS``, for a rate-limited log; ``counts`` has them all.
    """

    flows: FlowBatch
    options: tuple[OptionsData, ...]
    counts: Mapping[str, int]
    problems: tuple[Problem, ...]
