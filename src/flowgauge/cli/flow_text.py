# SPDX-License-Identifier: Apache-2.0
"""What a flow's JSON says, in words: its ends by name, its service port, where it was seen, its figures. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from flowgauge.cli import units
from flowgauge.schema.address import packed
from flowgauge.schema.flow_query import Measure
from flowgauge.schema.roles import CLIENT_PORTS_FROM, Side, to_server
from flowgauge.schema.well_known import PORTS, protocol_name
from flowgauge.store.answer import Sampling

Row = Mapping[str, Any]

_WHERE = {"ingress": "into", "egress": "out of", "inner": "within"}


class Detail(StrEnum):
    """How exactly an end is named."""

    EXACT = "exact"
    """The pod; an outside peer with its address."""
    WORKLOAD = "workload"
    BRIEF = "brief"
    """The workload without its namespace."""


def end(row: Row, side: str, detail: Detail) -> str:
    """The best name of one end (``src``, ``dst``): pod or workload; peers by name, that of DNS, subnet or address."""
    name, owner = row.get(f"{side}_name"), row.get(f"{side}_owner")
    exact = detail is Detail.EXACT
    if known := (name or owner) if exact else (owner or name):
        namespace = "" if detail is Detail.BRIEF else row.get(f"{side}_namespace")
        return f"{namespace}/{known}" if namespace else str(known)
    label = outside(row, f"{side}_dns_name", f"{side}_subnet")
    address = str(row.get(f"{side}_addr") or "unknown")
    if not label:
        return address
    return f"{label} ({address})" if exact else label


def outside(row: Row, *columns: str) -> str:
    """The first that is there of names from DNS and labels of subnets, for people; empty without any."""
    return next((label for column in columns if (label := str(row.get(column) or "").removeprefix("EXT:").strip())), "")


def is_reply(row: Row) -> bool:
    """Whether the flow comes from the server, as on the map."""
    icmp_type = row.get("icmp_type")
    proto = int(row.get("proto") or 0)
    return not to_server(_side(row, "src"), _side(row, "dst"), proto, -1 if icmp_type is None else int(icmp_type))


def _side(row: Row, end: str) -> Side:
    address = packed(str(row.get(f"{end}_addr") or "::"))
    return Side(address, int(row.get(f"{end}_port") or 0), str(row.get(f"{end}_service") or ""))


def service_port(row: Row) -> str:
    """``5432 postgresql``, ``53/udp dns reply``, ``443→8443 payments``, ``ICMP``."""
    reply = is_reply(row)
    side = "src" if reply else "dst"
    port, proto = row.get(f"{side}_port"), int(row.get("proto") or 0)
    words = [protocol_name(proto)]
    if port is not None:
        asked, behind = row.get("service_port"), row.get("target_port")
        number = f"{asked}→{behind}" if behind else str(port)
        words = [number if proto == 6 else f"{number}/{protocol_name(proto).lower()}"]
        service = row.get(f"{side}_service") or PORTS.get(int(port), "")
        words += [str(service)] if service else []
    return " ".join([*words, *(["reply"] if reply else [])])


def seen(row: Row) -> str:
    """``out of node-a``: which way the flow went at the node that reported it."""
    where = _WHERE.get(str(row.get("flow_direction", "")), "")
    node = str(row.get("node_reporter") or "")
    return f"{where} {node}".strip() if where and node else where or node


def _rate(row: Row) -> int:
    return max(1, int(row.get("sampling_rate") or 1))


def scaled(row: Row, measure: Measure) -> int:
    """Bytes or packets of one flow, scaled by its sampling rate."""
    return int(row.get(measure.value) or 0) * _rate(row)


EXACTNESS = ("sampling_rate", "sampling_algorithm", "src_addr", "dst_addr", "src_port", "dst_port")
"""Columns that ``variance`` and ``connection`` look at, beside the measures."""


def drawn_whole(row: Row) -> bool:
    """Whether chance kept the flow's connection as a whole."""
    return _rate(row) > 1 and row.get("sampling_algorithm") in ("flow", "other")


def connection(row: Row) -> tuple[object, ...]:
    """The same for all flows that were drawn together, as the store has it (``store.clickhouse.together``)."""
    src, dst = ((str(row.get(f"{side}_addr")), int(row.get(f"{side}_port") or 0)) for side in ("src", "dst"))
    from_client, to_client = src[1] >= CLIENT_PORTS_FROM, dst[1] >= CLIENT_PORTS_FROM
    if from_client != to_client:
        return src if from_client else dst
    return tuple(sorted((src, dst)))


def variance(row: Row) -> Sampling:
    """How exact one flow's scaled figures are."""
    rate, packets, size = _rate(row), int(row.get("packets") or 0), int(row.get("bytes") or 0)
    known = "sampling_rate" in row
    spread = float(rate) * (rate - 1)
    whole = drawn_whole(row)
    return Sampling(
        packets_variance=spread * packets * (packets if whole else 1),
        bytes_variance=spread * size * size / (1 if whole else max(packets, 1)),
        sampled=int(rate > 1),
        unsampled=int(known and rate == 1),
        unknown=int(not known),
    )


def figure(row: Row, measure: Measure, *, brief: bool = False) -> str:
    """One flow's bytes or packets, marked and (unless ``brief``) with its error where scaled."""
    value, exactness = scaled(row, measure), variance(row)
    text = units.size(value) if measure is Measure.BYTES else units.number(value)
    return units.estimate(text, None if brief else exactness.error(measure, value), approx=exactness.approx)


def public_value(name: str, value: Any) -> str:
    """A value of the column ``name`` for people: times, sizes and durations in units, the rest as it is."""
    if value is None:
        return ""
    if name.startswith("time_"):
        return units.clock(int(value) / 1_000_000) if name.endswith("_ns") else str(value)
    if name.endswith("_ns"):
        return units.duration(float(value))
    if name in ("bytes", "drop_bytes"):
        return units.size(float(value))
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
