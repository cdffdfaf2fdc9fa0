# SPDX-License-Identifier: Apache-2.0
"""What the API tells of one exporter: who, how much, how well; and in one sentence what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowgauge.flow.addresses import to_text
from flowgauge.pipeline.exporters import Exporter
from flowgauge.schema.enums import FLOW_FORMAT
from flowgauge.wire.decoded import StreamReport

PATIENCE_NS = 10_000_000_000
"""A template that has not come for so long is worth a word."""
SKEW_NS = 5_000_000_000
"""A clock that is wrong by more puts flows beside those of others in time."""
LOSS_SHARE = 0.001
SILENT_NS = 300_000_000_000

_NS = 1_000_000_000


def exporter_report(exporter: Exporter, reports: Sequence[StreamReport], now_ns: int) -> dict[str, Any]:
    """One entry of ``/api/v1/exporters``; numbers that only a decoder knows are None for protocols without them."""
    waiting = min((one.waiting_since_ns for one in reports if one.waiting_sets), default=0)
    rate, source = exporter.sampling_now
    return {
        "exporter_addr": to_text(exporter.addr),
        "obs_domain_id": exporter.domain,
        "name": exporter.name,
        "flow_format": FLOW_FORMAT[exporter.flow_format] or next((FLOW_FORMAT[one.flow_format] for one in reports), ""),
        "flows": exporter.flows,
        "flows_per_s": round(exporter.flows_per_s(now_ns), 3),
        "last_seen_ms": max([exporter.seen_ns, *(one.heard_ns for one in reports)]) // 1_000_000,
        "sampling": rate,
        "sampling_source": source,
        "lost_records": sum(one.lost_records for one in reports) if reports else None,
        "lost_datagrams": sum(one.lost_datagrams for one in reports) if reports else None,
        "clock_skew_ms": max((one.skew_ns for one in reports), key=abs) // 1_000_000 if reports else None,
        "templates": sum(one.templates + one.options_templates for one in reports) if reports else None,
        "template_refresh_s": max(one.refresh_ns for one in reports) // _NS if reports else None,
        "waiting_sets": sum(one.waiting_sets for one in reports),
        "waiting_s": (now_ns - waiting) // _NS if waiting else 0,
        "advice": _advice(exporter, reports, now_ns, waiting),
    }


def _advice(exporter: Exporter, reports: Sequence[StreamReport], now_ns: int, waiting_since_ns: int) -> str:
    """What is most worth saying of an exporter; empty when all is well."""
    found = (
        _of_templates(reports, now_ns, waiting_since_ns)
        or _of_clock(reports)
        or _of_loss(exporter, reports)
        or _of_silence(exporter, reports, now_ns)
    )
    if not found and exporter.sampling_now[1] == "unknown" and exporter.flows:
        found = "it does not tell whether it samples: its figures are taken as complete"
    return found


def _of_templates(reports: Sequence[StreamReport], now_ns: int, since_ns: int) -> str:
    if not since_ns or now_ns - since_ns < PATIENCE_NS:
        return ""
    refresh_ns = max(one.refresh_ns for one in reports)
    rhythm = f"this exporter sends templates every {_words(refresh_ns)}" if refresh_ns else "set it to send them every minute"
    return f"no template yet for {_words(now_ns - since_ns)}, and without it flows cannot be read: {rhythm}"


def _of_clock(reports: Sequence[StreamReport]) -> str:
    skew_ns = max((one.skew_ns for one in reports), key=abs, default=0)
    if abs(skew_ns) < SKEW_NS:
        return ""
    which = "behind" if skew_ns > 0 else "ahead"
    return f"its clock is {_words(abs(skew_ns))} {which}: synchronise it (NTP), or its flows stand beside others' in time"


def _of_loss(exporter: Exporter, reports: Sequence[StreamReport]) -> str:
    records, datagrams = sum(one.lost_records for one in reports), sum(one.lost_datagrams for one in reports)
    if records > LOSS_SHARE * (exporter.flows + records):
        share = records / (exporter.flows + records)
        return f"{share:.1%} of its records were lost on the way: look at the network, and at receive_socket_drops here"
    return f"{datagrams:,} of its datagrams were lost on the way" if datagrams else ""


def _of_silence(exporter: Exporter, reports: Sequence[StreamReport], now_ns: int) -> str:
    silent_ns = now_ns - max([exporter.seen_ns, *(one.heard_ns for one in reports)])
    return f"nothing came for {_words(silent_ns)}" if silent_ns > SILENT_NS else ""


def _words(ns: int) -> str:
    seconds = ns // _NS
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
