# SPDX-License-Identifier: Apache-2.0
"""What is known of a stream, for people: exporters' pages and tables."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from flowgauge.wire.decoded import MAX_RATES_TOLD, RateReport, StreamReport
from flowgauge.wire.sampling import EITHER, INGRESS, INTERFACE, SELECTOR, SYSTEM, Rates
from flowgauge.wire.sequence import ESTIMATED
from flowgauge.wire.streams import Stream


def templated(stream: Stream, flow_format: int) -> StreamReport:
    """How a stream of a protocol with templates stands."""
    templates = list(stream.templates)
    options = sum(held.template.layout.is_options for held in templates)
    return StreamReport(
        **_heard(stream, flow_format),
        **_numbered(stream),
        templates=len(templates) - options,
        options_templates=options,
        provisional=sum(held.provisional for held in templates),
        announced_ns=stream.templates.announced_ns,
        refresh_ns=stream.templates.refresh_ns,
        waiting_sets=len(stream.pending),
        waiting_since_ns=stream.pending.since_ns,
        said=dict(stream.said),
        also_addr=tuple(stream.aliases),
        rates=tuple(islice(_rates(stream.rates), MAX_RATES_TOLD)),
    )


def numbered(stream: Stream, flow_format: int) -> StreamReport:
    """How a stream stands whose messages are numbered."""
    return StreamReport(**_heard(stream, flow_format), **_numbered(stream))


def heard(stream: Stream, flow_format: int) -> StreamReport:
    """What is known of any stream."""
    return StreamReport(**_heard(stream, flow_format))


def _heard(stream: Stream, flow_format: int) -> dict[str, Any]:
    """Facts, since making a report of a report takes three times as long as making it."""
    return {
        "exporter_addr": stream.exporter_addr,
        "obs_domain_id": stream.domain,
        "flow_format": flow_format,
        "source_port": stream.port,
        "heard_ns": stream.heard_ns,
        "skew_ns": stream.skew_ns if stream.heard_ns else None,
    }


def _numbered(stream: Stream) -> dict[str, Any]:
    totals = stream.sequence.totals
    return {
        "lost_records": totals.get("sequence_gap_records", 0),
        "lost_datagrams": totals.get("sequence_gap_datagrams", 0),
        "lost_records_estimated": totals.get(ESTIMATED, 0),
        "late": totals.get("sequence_late_datagrams", 0),
        "duplicates": totals.get("sequence_duplicate_datagrams", 0),
        "resets": totals.get("sequence_resets", 0),
    }


def _rates(rates: Rates) -> Iterator[RateReport]:
    """What was told in options, the nearest to a record first."""
    for number, rate in rates.selectors.items():
        yield RateReport(SELECTOR, f"selector {number}", rate)
    for (index, direction), rate in rates.interfaces.items():
        way = "" if direction == EITHER else " in" if direction == INGRESS else " out"
        yield RateReport(INTERFACE, f"interface {index}{way}", rate)
    for number, rate in rates.templates.items():
        yield RateReport(SYSTEM, f"template {number}", rate)
    if rates.system:
        yield RateReport(SYSTEM, "system", rates.system)
