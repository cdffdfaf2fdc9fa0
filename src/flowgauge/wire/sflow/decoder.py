# SPDX-License-Identifier: Apache-2.0
"""Decodes sFlow datagrams: every flow sample becomes a flow of one packet, everything else is told apart from traffic.

* Flow samples (formats 1 and 3): one row each, ``packets`` 1, ``bytes`` of layer 3, ``sampling_rate`` as the sample says.
  sFlow carries no time of the packet: start and end are when the datagram was received.
* Discarded packets (format 5): rows of kind ``event``, with ``drop_packets``, ``drop_bytes`` and ``drop_cause``; ``packets``
  and ``bytes`` are 0, since they are no traffic that went through.
* Counter samples (2 and 4): ``CounterData``; the names of interfaces in them as options data, as if told by IPFIX.

``exporter_addr`` is the agent's address, not the sender's; ``obs_domain_id`` the sub-agent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flowgauge.schema.enums import FLOW_DIRECTION, FLOW_FORMAT, SAMPLING_ALGORITHM, code
from flowgauge.wire.assemble import Block, other_sockets
from flowgauge.wire.decoded import CounterData, OptionsData, StreamReport
from flowgauge.wire.intake import Intake
from flowgauge.wire.mapping import Reader
from flowgauge.wire.origins import Origins
from flowgauge.wire.packet_headers_bytes import Index, Windows, with_slack
from flowgauge.wire.packet_headers_link import MAX_LABELS
from flowgauge.wire.readers import Source
from flowgauge.wire.records import DataSets, Records
from flowgauge.wire.sflow import counters, extended, packets
from flowgauge.wire.sflow.headers import Heads, heads
from flowgauge.wire.sflow.parts import Containers, find
from flowgauge.wire.sflow.reading import IP, NOTHING, PORTS, Reading
from flowgauge.wire.sflow.reasons import causes, forwarding_status
from flowgauge.wire.sflow.samples import (
    COUNTER,
    DISCARD_REASON,
    DISCARDED,
    EXPANDED_COUNTER,
    EXPANDED_FLOW,
    FLOW,
    KINDS,
    interface,
    samples,
)
from flowgauge.wire.sflow.sampling import SourceSampling
from flowgauge.wire.sflow.sheet import Given, GivenNames
from flowgauge.wire.sflow.sources import Sources
from flowgauge.wire.texts import MplsLabels, TextStep
from flowgauge.wire.views import Offsets, Structured

MAX_SAMPLES = 1024
"""Samples read of one datagram: 65,535 bytes hold 700 of the shortest that mean anything."""
MAX_RECORDS = 64
"""Records read of one sample; the standard has some fifty formats in all."""

_SFLOW5 = code(FLOW_FORMAT, "sflow5")
_PORT_COLUMNS = frozenset({"src_port", "dst_port"})
_IP_COLUMNS = _PORT_COLUMNS | {
    "src_addr", "dst_addr", "proto", "tcp_flags", "ip_tos", "ip_ttl_min", "ip_ttl_max", "icmp_type", "icmp_code",
}  # fmt: skip
_WITHOUT: Mapping[int, frozenset[str]] = {NOTHING: frozenset(), PORTS: _PORT_COLUMNS, IP: _IP_COLUMNS}
"""Columns that samples do not have, by what their packets lack."""
_PACKET = code(SAMPLING_ALGORITHM, "packet")
_INGRESS, _EGRESS = code(FLOW_DIRECTION, "ingress"), code(FLOW_DIRECTION, "egress")
_LABELS_DTYPE = np.dtype([(f"f{number}", np.uint32) for number in range(MAX_LABELS)])
_NO_FIELDS: np.dtype[Any] = np.dtype([])
_LABELS = MplsLabels(tuple(Source(number, 4) for number in range(MAX_LABELS)))
_RECORDS_READ = np.array(sorted({packets.HEADER, packets.ETHERNET, packets.IPV4_RECORD, packets.IPV6_RECORD, *extended.READ}))
_SEEN = {
    FLOW: "sflow_flow", EXPANDED_FLOW: "sflow_expanded_flow", COUNTER: "sflow_counter",
    EXPANDED_COUNTER: "sflow_expanded_counter", DISCARDED: "sflow_discarded",
}  # fmt: skip

Found = tuple[list[Block], list[OptionsData], list[CounterData]]


class SflowDecoder:
    """The decoder of sFlow version 5.

    Args:
        inner: of packets in tunnels, report the packet within (see ``packet_headers``).
    """

    def __init__(self, *, inner: bool = False) -> None:
        self._inner = inner
        self._sources = Sources()

    def decode(self, intake: Intake, datagram: Index, start: Offsets, end: Offsets) -> Found:
        """What the datagrams hold that begin with the 32-bit word 5."""
        blocks: list[Block] = []
        told: list[OptionsData] = []
        counted: list[CounterData] = []
        windows = Windows(with_slack(intake.view.octets, int(end.max())))
        found = heads(intake, windows, datagram, start, end)
        if not len(found):
            return blocks, told, counted
        agent = self._sources.observe_datagrams(intake, found)
        within = Containers(found.datagram, found.start, found.end, found.samples, found.missing)
        parts = find(intake, windows, within, "sample", MAX_SAMPLES).in_order()
        kinds = np.bincount(np.minimum(parts.tag, len(KINDS) + 1), minlength=len(KINDS) + 2)
        if unknown := int(kinds[0] + kinds[-1]):
            intake.seen["sflow_unknown"] += unknown
        for kind in KINDS:
            if not kinds[kind]:
                continue
            chosen = samples(intake, windows, found, parts, kind)
            intake.seen[_SEEN[kind]] += len(chosen)
            if not len(chosen):
                continue
            self._sources.observe_samples(intake, found, chosen, kind, agent)
            records = find(intake, windows, chosen.records, "record", MAX_RECORDS)
            if kind in (COUNTER, EXPANDED_COUNTER):
                whole = records.kept(lambda parts: parts.missing == 0) if chosen.missing.any() else records
                values, names = counters.counters(intake, found, chosen, whole.in_order())
                counted += values
                told += names
            else:
                shown = records.kept(packets.readable) if chosen.missing.any() else records
                reading = Reading.of(intake, windows, chosen, shown)
                blocks += self._blocks(reading, found, discarded=kind == DISCARDED)
        self._sources.settle(int(intake.origins.received_ns[datagram].max()), intake.counts)
        return blocks, told, counted

    def finish(self) -> dict[str, int]:
        """What is still missing when receiving ends, as increments of counters."""
        return self._sources.finish()

    def reports(self) -> Iterator[StreamReport]:
        """How each agent and sub-agent stands."""
        return self._sources.reports()

    def sampling(self) -> Sequence[SourceSampling]:
        """The configured and the effective sampling rate of each data source."""
        return self._sources.sampling()

    def _blocks(self, reading: Reading, found: Heads, *, discarded: bool) -> list[Block]:
        """The samples as one block; in several where packets lack ports or are not IP: a block has a column or has it not.

        A sample that was cut before it showed its packet is none.
        """
        shown = packets.packets(reading, inner=self._inner)
        extended.extended(reading)
        whole = reading.samples.missing == 0
        if not shown.all():
            reading.intake.seen["samples_without_packet"] += int(np.count_nonzero(~shown & whole))
        if skipped := int(reading.formats.sum() - reading.formats[_RECORDS_READ].sum()):
            reading.intake.seen["skipped_records"] += skipped
        if discarded:
            _discards(reading)
        else:
            _flows(reading)
        told = shown | whole
        return [
            _block(reading, found, np.flatnonzero((reading.lacking == lack) & told), _WITHOUT[lack], discarded=discarded)
            for lack in np.flatnonzero(np.bincount(reading.lacking[told])).tolist()
        ]


def _block(reading: Reading, found: Heads, row: Index, without: frozenset[str], *, discarded: bool) -> Block:
    """Some of the samples, without some columns."""
    columns = reading.sheet.chosen(row, without)
    texts: list[tuple[str, TextStep]] = []
    if discarded:
        texts.append(("drop_cause", GivenNames(causes(reading.samples.words["reason"][row]))))
    fields: Structured = np.zeros(len(row), _NO_FIELDS)
    if reading.labels is not None:
        labels = reading.labels[row]
        fields = labels.view(_LABELS_DTYPE).reshape(-1)
        if labels.any():
            texts.append(("mpls_labels", _LABELS))
    head = reading.samples.head if len(row) == len(reading.samples) else reading.samples.head[row]
    socket = other_sockets(reading.intake.origins.source_addr[found.datagram], found.agent)
    return Block(
        records=_records(fields, head, found),
        reader=Reader((Given(columns),), tuple(columns), tuple(texts), ours=False, counts=not discarded),
        origins=_origins(reading.intake, found),
        flow_format=_SFLOW5,
        template_id=np.zeros(len(found), np.int64),
        domain=found.sub_agent,
        socket=None if socket is None else socket[head],
    )


def _flows(reading: Reading) -> None:
    """What every flow sample says: counts, rate, time, interfaces, and from these the direction."""
    sheet, words = reading.sheet, reading.samples.words
    sheet.put_all("packets", 1)
    sheet.put_all("sampling_rate", words["rate"])
    sheet.put_all("sampling_algorithm", _PACKET)
    _when_and_where(reading)
    source, came, went = words["source_index"], words["in_value"], words["out_value"]
    of_interface = (words["source_type"] == 0) & (came != went)
    sheet.put_all("flow_direction", ((source == came) * _INGRESS + (source == went) * _EGRESS) * of_interface)
    dropped = words["out_format"] == DISCARD_REASON
    if dropped.any():
        sheet.put("forwarding_status", np.flatnonzero(dropped), forwarding_status(words["out_value"][dropped]))


def _discards(reading: Reading) -> None:
    """Discarded packets are told of one by one, so none of the sampling; what they weigh is no traffic."""
    sheet, words = reading.sheet, reading.samples.words
    sheet.put_all("drop_packets", 1)
    sheet.put_all("drop_bytes", sheet.columns.pop("bytes", 0))
    sheet.put_all("sampling_rate", 1)
    sheet.put_all("forwarding_status", forwarding_status(words["reason"]))
    _when_and_where(reading)


def _when_and_where(reading: Reading) -> None:
    sheet, words = reading.sheet, reading.samples.words
    received = reading.intake.origins.received_ns[reading.samples.datagram]
    for name in ("time_start_ns", "time_end_ns"):
        sheet.put_all(name, received)
    sheet.put_all("in_if", interface(words, "in"))
    sheet.put_all("out_if", interface(words, "out"))


def _records(fields: Structured, head: Index, found: Heads) -> Records:
    """Rows as ``assemble`` takes them: a datagram is a set, a sample a record, whose only fields are its labels."""
    nothing = np.zeros(len(found), np.int64)
    sets = DataSets(found.start, found.end, found.datagram, nothing, nothing)
    return Records(fields, {}, head, sets)


def _origins(intake: Intake, found: Heads) -> Origins:
    """The agents as the origin of their datagrams."""
    origin = intake.origins.source_addr.copy()
    origin[found.datagram] = found.agent
    return replace(intake.origins, source_addr=origin)
