# SPDX-License-Identifier: Apache-2.0
"""What the API tells of one exporter: who, how much, how well; and in one sentence what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flowgauge.flow.addresses import to_text
from flowgauge.pipeline.exporter import Exporter
from flowgauge.schema.enums import FLOW_FORMAT, SAMPLING_SOURCE
from flowgauge.wire.assemble import WRONG_CLOCK_NS
from flowgauge.wire.decoded import RateReport, StreamReport

PATIENCE_NS = 10_000_000_000
"""A template that has not come for so long is worth a word."""
SKEW_NS = 5_000_000_000
"""A clock that is wrong by more puts flows beside those of others in time."""
LOSS_SHARE = 0.001
RATE_DIFFERS = 1.25
"""An agent that samples so much more seldom, or more often, than it says makes totals wrong by as much."""
SILENT_NS = 300_000_000_000

_NS = 1_000_000_000


def exporter_report(exporter: Exporter, reports: Sequence[StreamReport], now_ns: int) -> dict[str, Any]:
    """One entry of ``/api/v1/exporters``; what the exporter's protocol does not tell is None.

    * ``exporter_addr``, ``obs_domain_id``, ``name``, ``flow_format``: who.
    * ``socket_addrs``: where its datagrams come from, if that is not ``exporter_addr`` (relays, translation, sFlow agents).
    * ``flows``, ``flows_per_s``, ``last_seen_ms``: how much, and when it was heard last (ms since 1970).
    * ``sampling``, ``sampling_source``: one of how many packets (0: not told), and how that is known.
    * ``effective_sampling``: the same as its own counts of packets say, over all its interfaces (sFlow).
    * ``rates``: each rate that it told: ``of`` what (interface 7, selector 1, system …), ``rate``, ``source``, ``effective``
      (0: not known).
    * ``sampler_drops``: samples that it says to have left out for lack of resources (sFlow).
    * ``lost_records``, ``lost_datagrams``: missing from its sequence numbers; NetFlow v5, v7 and IPFIX number flows, v9
      datagrams, sFlow both.
    * ``lost_records_estimated``: of v9, how many records those datagrams probably held: as many each as its others on average.
    * ``late_datagrams``, ``duplicate_datagrams``, ``restarts``: what else its numbers say.
    * ``clock_skew_ms``: how far its clock is behind (+) or ahead (-).
    * ``templates``, ``provisional_templates``: in force, and of them known from an earlier run only; ``template_refresh_s``:
      how often they are sent.
    * ``waiting_sets``, ``waiting_s``: data sets without a template, and for how long.
    * ``interface_names``: how many of its interfaces it named.
    * ``said``: its own statistics, by IANA name (``notSentFlowTotalCount`` …).
    * ``advice``: what to do about it, one sentence, or empty.
    """
    waiting = min((one.waiting_since_ns for one in reports if one.waiting_sets), default=0)
    rate, source = exporter.sampling_now
    return {
        "exporter_addr": to_text(exporter.addr),
        "obs_domain_id": exporter.domain,
        "name": exporter.name,
        "flow_format": FLOW_FORMAT[exporter.flow_format] or next((FLOW_FORMAT[one.flow_format] for one in reports), ""),
        "socket_addrs": sorted({to_text(addr) for one in reports if (addr := _sender(one)) and addr != exporter.addr}),
        "flows": exporter.flows,
        "flows_per_s": round(exporter.flows_per_s(now_ns), 3),
        "last_seen_ms": max([exporter.seen_ns, *(one.heard_ns for one in reports)]) // 1_000_000,
        "sampling": rate,
        "sampling_source": source,
        "effective_sampling": max((round(one.effective, 1) for one in reports if one.effective), default=None),
        "rates": [_rate(each) for one in reports for each in one.rates],
        "sampler_drops": _sum(one.sampler_drops for one in reports),
        "lost_records": _sum(one.lost_records for one in reports),
        "lost_datagrams": _sum(one.lost_datagrams for one in reports),
        "lost_records_estimated": _sum(one.lost_records_estimated for one in reports),
        "late_datagrams": _sum(one.late for one in reports),
        "duplicate_datagrams": _sum(one.duplicates for one in reports),
        "restarts": _sum(one.resets for one in reports),
        "clock_skew_ms": None if (skew_ns := _skew_ns(reports)) is None else skew_ns // 1_000_000,
        "templates": _sum(_of_both(one) for one in reports),
        "provisional_templates": sum(one.provisional for one in reports),
        "template_refresh_s": _refresh_s(reports),
        "waiting_sets": sum(one.waiting_sets for one in reports),
        "waiting_s": (now_ns - waiting) // _NS if waiting else 0,
        "interface_names": len(exporter.interfaces),
        "said": _said(reports),
        "advice": _advice(exporter, reports, now_ns, waiting),
    }


def _sum(numbers: Iterable[int | None]) -> int | None:
    """Of those that are known; None when none is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _of_both(one: StreamReport) -> int | None:
    return None if one.templates is None else one.templates + (one.options_templates or 0)


def _skew_ns(reports: Sequence[StreamReport]) -> int | None:
    return max((one.skew_ns for one in reports if one.skew_ns is not None), key=abs, default=None)


def _sender(one: StreamReport) -> bytes:
    return one.socket_addr or one.exporter_addr


def _rate(one: RateReport) -> dict[str, Any]:
    return {"of": one.of, "rate": one.rate, "source": SAMPLING_SOURCE[one.source], "effective": round(one.effective, 1)}


def _refresh_s(reports: Sequence[StreamReport]) -> int | None:
    return max((one.refresh_ns // _NS for one in reports if one.templates is not None), default=None)


def _said(reports: Sequence[StreamReport]) -> dict[str, int]:
    said: dict[str, int] = {}
    for one in reports:
        for name, value in one.said.items():
            said[name] = said.get(name, 0) + value
    return said


def _advice(exporter: Exporter, reports: Sequence[StreamReport], now_ns: int, waiting_since_ns: int) -> str:
    """What is most worth saying of an exporter; empty when all is well."""
    return (
        _of_templates(reports, now_ns, waiting_since_ns)
        or _of_clock(reports)
        or _of_loss(exporter, reports)
        or _of_silence(exporter, reports, now_ns)
        or _of_sampling(exporter, reports)
    )


def _of_templates(reports: Sequence[StreamReport], now_ns: int, since_ns: int) -> str:
    if not since_ns or now_ns - since_ns < PATIENCE_NS:
        return ""
    refresh_ns = max(one.refresh_ns for one in reports)
    rhythm = f"this exporter sends templates every {_words(refresh_ns)}" if refresh_ns else "set it to send them every minute"
    return f"no template yet for {_words(now_ns - since_ns)}, and without it flows cannot be read: {rhythm}"


def _of_clock(reports: Sequence[StreamReport]) -> str:
    skew_ns = _skew_ns(reports) or 0
    if abs(skew_ns) < SKEW_NS:
        return ""
    which = "behind" if skew_ns > 0 else "ahead"
    if abs(skew_ns) > WRONG_CLOCK_NS and skew_ns > 0 and any(one.may_wait for one in reports):
        waits = "its clock is behind, or what it sends waits on its way,"
        return f"{waits} by {_words(skew_ns)}: its flows keep their own times; synchronise its clock (NTP)"
    if abs(skew_ns) > WRONG_CLOCK_NS:
        return f"its clock is {_words(abs(skew_ns))} {which}: its flows are placed by when they came; synchronise it (NTP)"
    return f"its clock is {_words(abs(skew_ns))} {which}: synchronise it (NTP), or its flows stand beside others' in time"


def _of_loss(exporter: Exporter, reports: Sequence[StreamReport]) -> str:
    records, datagrams = _sum(one.lost_records for one in reports) or 0, _sum(one.lost_datagrams for one in reports) or 0
    if records > LOSS_SHARE * (exporter.flows + records):
        share = records / (exporter.flows + records)
        return f"{share:.1%} of its records were lost on the way: look at the network, and at receive_socket_drops here"
    estimated = _sum(one.lost_records_estimated for one in reports)
    held = f", with about {estimated:,} records," if estimated else ""
    return f"{datagrams:,} of its datagrams{held} were lost on the way" if datagrams else ""


def _of_sampling(exporter: Exporter, reports: Sequence[StreamReport]) -> str:
    """Samples that it left out, a rate that it does not keep, and one that is not told."""
    drops = _sum(one.sampler_drops for one in reports) or 0
    if drops > LOSS_SHARE * (exporter.flows + drops):
        return f"it left out {drops:,} samples for lack of resources: let it sample one of more packets"
    for one in (each for report in reports for each in report.rates if each.rate and each.effective):
        if not 1 / RATE_DIFFERS < one.effective / one.rate < RATE_DIFFERS:
            return f"on {one.of} it samples 1 of {one.effective:,.0f} packets, not 1 of {one.rate:,} as it says: totals are off"
    source = exporter.sampling_now[1]
    if source == "disputed":
        return "its other domains tell different sampling rates, and this one none: its figures are taken as complete"
    if source == "unknown" and exporter.flows:
        return "it does not tell whether it samples: its figures are taken as complete"
    return ""


def _of_silence(exporter: Exporter, reports: Sequence[StreamReport], now_ns: int) -> str:
    heard_ns = max([exporter.seen_ns, *(one.heard_ns for one in reports)])
    if not heard_ns:
        return "known from before the collector was started; nothing came since"
    silent_ns = now_ns - heard_ns
    return f"nothing came for {_words(silent_ns)}" if silent_ns > SILENT_NS else ""


def _words(ns: int) -> str:
    seconds = ns // _NS
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
