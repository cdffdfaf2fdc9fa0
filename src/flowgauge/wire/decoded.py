# SPDX-License-Identifier: Apache-2.0
"""What the decoder hands on: flows as columns, options as plain values, counts and a few named problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.flow.batch import FlowBatch

Value = int | str | bytes | float

MAX_RATES_TOLD = 64
"""Sampling rates in one report: a line card's ports, not those of a whole chassis."""


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
        template_id, flow_format: what they came by; the latter a code of ``enums.FLOW_FORMAT``.
        position: where they were, see ``Detail``.
        lag_ns: how far behind the clock of who told it is, where that is so wrong that its flows are placed by when they came.
        also_addr: under which other addresses (16 bytes each) the stream's flows stand: those of the exporters behind a relay,
            which the records themselves give (elements 130, 131). What is told holds for them too.
    """

    exporter_addr: bytes
    obs_domain_id: int
    records: tuple[Mapping[str, Value], ...]
    received_ns: int = 0
    template_id: int = 0
    flow_format: int = 0
    position: int = 0
    lag_ns: int = 0
    also_addr: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class CounterData:
    """One sFlow counter sample: cumulative counters of an interface or a host.

    Attributes:
        exporter_addr: the agent's address, 16 bytes.
        obs_domain_id: its sub-agent.
        source_type, source_index: whose counters; of type 0 the index is an ifIndex.
        values: by the name of the MIB object (``ifInOctets``) or of the field in sFlow's structures (``cpu_idle``).
        received_ns: wall time of arrival.
        position: where it was, see ``Detail``.
    """

    exporter_addr: bytes
    obs_domain_id: int
    source_type: int
    source_index: int
    values: Mapping[str, Value]
    received_ns: int = 0
    position: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """One malformed place: enough to find the byte.

    Attributes:
        exporter_addr: the sender's address, 16 bytes.
        cause: short and constant (``set_length``), fit for a counter's label or a rate limit's key.
        offset: byte within the datagram.
        expected, found: in words.
        datagram: counts the datagrams that the decoder was given, from 0.
    """

    exporter_addr: bytes
    cause: str
    offset: int
    expected: str
    found: str
    datagram: int = 0


@dataclass(frozen=True, slots=True)
class Detail:
    """What the columns of a batch do not tell of its rows ``first`` to ``last`` (exclusive), which came by one layout.

    Attributes:
        columns: those that the records really have; in others these rows are absent, whatever number stands there.
        position: int64 (n,), increases with the place in everything that was received: the datagram's number × 2¹⁶ plus
            the byte at which the set (of several records, in their order) begins.
        place: (n,), where rows belong among those of the same position, when that is not as they lie: a record's other
            direction has the record's place and comes after it.
        extra: values of the elements that have no column, by name: one a row, None where there is none. Lists (RFC 6313) are
            lists of values, or of mappings for records.
    """

    first: int
    last: int
    columns: frozenset[str]
    position: npt.NDArray[np.int64]
    place: npt.NDArray[np.intp] | None
    extra: Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class RateReport:
    """One sampling rate of an exporter.

    Attributes:
        source: how it is known, a code of ``enums.SAMPLING_SOURCE``.
        of: what it holds for, in words: ``interface 7``, ``selector 1``, ``template 260``, ``system``.
        rate: one of so many packets, as configured.
        effective: packets seen for each that was taken, as the exporter's own counts say (sFlow); 0 = not known.
    """

    source: int
    of: str
    rate: int
    effective: float = 0.0


@dataclass(frozen=True, slots=True)
class StreamReport:
    """How one observation domain of one exporter stands; None where the protocol does not say.

    Attributes:
        exporter_addr: the sender's address, 16 bytes; of sFlow the agent's.
        flow_format: code of ``enums.FLOW_FORMAT``.
        source_port: when several exporters share address and domain; else 0.
        heard_ns: when its latest message came, ns since 1970.
        skew_ns: how far the message's export time was behind that: its clock's error, and up to a second.
        may_wait: it came over a connection, in which messages may wait: then its flows keep their own times, whatever the skew.
        lost_records, lost_datagrams: missing from its sequence numbers; the protocol says which of the two they count.
        lost_records_estimated: how many records its lost datagrams probably held, where only datagrams are numbered.
        late, duplicates, resets: datagrams that came late and twice, and how often it began to count again.
        templates, options_templates: in force; of them ``provisional`` were known to an earlier collector and have not been
            announced since.
        announced_ns, refresh_ns: when it announced templates last, and how long before that the time before; 0 = not yet.
        waiting_sets, waiting_since_ns: data sets whose template has not come, and since when.
        said: what it told of itself, by IANA name (``exportedFlowRecordTotalCount``, ``notSentPacketTotalCount`` …).
        socket_addr: where its datagrams come from, when that is not ``exporter_addr``; else empty.
        also_addr: under which other addresses its flows stand, see ``OptionsData``.
        sampler_drops: samples that an sFlow agent says to have left out for lack of resources.
        rates: at most ``MAX_RATES_TOLD``.
        effective: as of a rate, over all data sources.
    """

    exporter_addr: bytes
    obs_domain_id: int
    flow_format: int
    heard_ns: int
    source_port: int = 0
    skew_ns: int | None = None
    may_wait: bool = False
    lost_records: int | None = None
    lost_datagrams: int | None = None
    lost_records_estimated: int | None = None
    late: int | None = None
    duplicates: int | None = None
    resets: int | None = None
    templates: int | None = None
    options_templates: int | None = None
    provisional: int = 0
    announced_ns: int = 0
    refresh_ns: int = 0
    waiting_sets: int = 0
    waiting_since_ns: int = 0
    said: Mapping[str, int] = field(default_factory=dict)
    socket_addr: bytes = b""
    also_addr: tuple[bytes, ...] = ()
    sampler_drops: int | None = None
    rates: tuple[RateReport, ...] = ()
    effective: float = 0.0


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one batch of datagrams held.

    Attributes:
        flows: public columns (before ``normalise``): what the records carry, and ``time_received_ns``, ``exporter_addr``,
            ``obs_domain_id``, ``template_id``, ``flow_format``, ``record_kind``. Rows are in no particular order.
        options: options data, in order of arrival.
        counts: increments by ledger counter name; only what is not zero.
        problems: at most ``MAX_PROBLEMS``, for a rate-limited log; ``counts`` has them all.
        causes: how many malformed places there are of each cause.
        seen: units of the protocols themselves: ``templates`` and ``options_templates``, each time one is announced;
            ``sflow_…``: samples of each kind; ``skipped_records``: sFlow records that are not read.
        details: of all rows, when the decoder was asked for them; to be read before its next batch.
        counters: counter samples of sFlow agents.
    """

    flows: FlowBatch
    options: tuple[OptionsData, ...]
    counts: Mapping[str, int]
    problems: tuple[Problem, ...]
    causes: Mapping[str, int] = field(default_factory=dict)
    seen: Mapping[str, int] = field(default_factory=dict)
    details: tuple[Detail, ...] = ()
    counters: tuple[CounterData, ...] = ()
