# SPDX-License-Identifier: Apache-2.0
"""FlowQuery → who talks to whom: one SELECT that turns every flow towards its server and sums by pair, and its answer.

Flows are one-way, so a conversation is two of them; a map drawn from them as they are would have an edge for each ephemeral
port. Which end is the server is the rule of ``schema.roles``.

A packet is dropped in one place. The node that drops it may not be the one whose observation counts (``pipeline.dedup``), so
drops are summed over duplicates too, which count for nothing else.
"""

# ruff: noqa: S608 - statements are made of the registry's own names; values are parameters
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from flowgauge.errors import UsageError
from flowgauge.schema import enums
from flowgauge.schema.flow_query import FlowQuery, Measure, Window
from flowgauge.schema.roles import ECHO_REPLIES, WELL_KNOWN
from flowgauge.store.answer import DNS_KIND, RECENT_MS, SUBNET_KIND, Edge, Edges, End
from flowgauge.store.clickhouse import edge_addresses, edge_signals
from flowgauge.store.clickhouse.answers import sampling_of
from flowgauge.store.clickhouse.ddl import SCALE
from flowgauge.store.clickhouse.planner import Planner, Statement
from flowgauge.store.clickhouse.together import EXTRA, add_extra, of_connections
from flowgauge.store.clickhouse.where import Params

_ORDERS = (Measure.BYTES, Measure.PACKETS, Measure.FLOWS, Measure.RETRANSMITS, Measure.DROP_PACKETS)

_WELL_KNOWN = f"({', '.join(map(str, sorted(WELL_KNOWN)))})"
_ECHO_REPLY = " OR ".join(f"proto = {proto} AND icmp_type = {kind}" for proto, kind in ECHO_REPLIES.items())
_WITH_PORTS = f"""src_port = 0 OR dst_port = 0, 1,
    (src_service != '') != (dst_service != ''), dst_service != '',
    (src_port IN {_WELL_KNOWN}) != (dst_port IN {_WELL_KNOWN}), dst_port IN {_WELL_KNOWN},
    src_port != dst_port, dst_port < src_port,
    dst_addr >= src_addr"""

_PORT = "if(target_port > 0, target_port, own_port)"
"""Where the server listens: the same in both directions, also where clients ask for another port (``enrich.served_ports``)."""

_BEHIND = "if(post_nat_dst_addr = toIPv6('::'), dst_addr, post_nat_dst_addr)"
"""Where packets go in the end."""

_KEYS = ("client_namespace", "client_name", "client_kind", "server_namespace", "server_name", "server_kind", "port", "proto")

_SUMS = {
    "m_bytes": f"sum(bytes * {SCALE})",
    "m_packets": f"sum(packets * {SCALE})",
    "m_flows": "sum(counted)",
    "m_bytes_to_server": f"sumIf(bytes * {SCALE}, to_server)",
    "m_retransmits": "sum(retransmits)",
    "m_drop_packets": "sum(drop_packets)",
    "m_rtt": "sum(toFloat64(rtt_avg_us))",
    "m_rtt_count": "countIf(rtt_avg_us > 0)",
    "service": "max(server_service)",
    "asked_ports": "arraySort(groupUniqArrayIf(own_port, own_port != port))",
    "client_layer": "max(layer_of_client)",
    "server_layer": "max(layer_of_server)",
    **edge_addresses.sums(),
}

_OF_COUNTED = ("bytes", "packets", "retransmits", "rtt_avg_us")
"""Columns that are 0 in duplicates, which are there for their drops."""

_TOTALLED = ("m_bytes", "m_packets", "m_flows")


def statement(planner: Planner, query: FlowQuery) -> Statement:
    """One row an edge; UsageError for an order that edges do not have."""
    if query.order_by not in _ORDERS:
        raise UsageError(f"edges cannot be ordered by {query.order_by!r}; use {', '.join(_ORDERS)}")
    turned, params = _turned(planner, query)
    params["limit"] = max(1, query.limit)
    sums = ", ".join(f"{sql} AS {name}" for name, sql in (_SUMS | planner.sampling_sums() | edge_signals.sums(planner)).items())
    totals = ", ".join(f"sum({name}) OVER () AS t_{name}" for name in _TOTALLED)
    keys = ", ".join(_KEYS)
    return Statement(
        f"""SELECT *, {totals}, count() OVER () AS t_edges FROM (
SELECT {keys}, {sums} FROM ({turned})
GROUP BY {keys})
ORDER BY m_{query.order_by} DESC, {keys} LIMIT {{limit:UInt64}}""",
        params,
    )


def together(planner: Planner, query: FlowQuery) -> Statement:
    """What is to be added to the variances of the edges of ``statement``: see ``together``."""
    turned, params = _turned(planner, query)
    params["limit"] = max(1, query.limit)
    keys, order = ", ".join(_KEYS), f"m_{query.order_by}"
    of_each = of_connections(turned, _KEYS, planner.drawn_whole(), f"{_SUMS[order]} AS {order}")
    return Statement(
        f"SELECT {keys}, {EXTRA} FROM ({of_each}) GROUP BY {keys} ORDER BY sum({order}) DESC, {keys} LIMIT {{limit:UInt64}}",
        params,
    )


def _turned(planner: Planner, query: FlowQuery) -> tuple[str, Params]:
    """A SELECT of the flows, with client and server for source and destination."""
    condition, params = planner.condition(replace(query, duplicates=True))
    params["recent"] = query.window.end_ms - RECENT_MS
    params["slice"] = edge_signals.slice_ms(query.window.end_ms - query.window.start_ms)
    counted = "1" if query.duplicates else "duplicate_of = 0"
    more = [name for name in edge_signals.columns(planner) if name != "rtt_avg_us"]
    more += ["sampling_algorithm"] if planner.has("sampling_algorithm") else []
    return (
        f"""
SELECT {_to_server(planner)} AS to_server, {_end(planner, "client", "src", "dst")}, {_end(planner, "server", "dst", "src")},
  if(to_server, src_addr, {_BEHIND}) AS client_addr, if(to_server, {_BEHIND}, src_addr) AS server_addr,
  if(to_server, dst_port, src_port) AS own_port, {_PORT if planner.has("target_port") else "own_port"} AS port,
  if(to_server, dst_service, src_service) AS server_service,
  proto, {counted} AS counted, {", ".join(f"if(counted, {name}, 0) AS {name}" for name in _OF_COUNTED)}, sampling_rate,
  {", ".join(["drop_packets", *more])}, toUnixTimestamp64Milli(time_end_ms) AS end_ms,
  end_ms >= {{recent:Int64}} AS is_recent, intDiv(end_ms, {{slice:Int64}}) * {{slice:Int64}} AS slice_ms,
  src_addr, src_port, dst_addr, dst_port
FROM flows WHERE {condition} AND (counted OR drop_packets > 0)""",
        params,
    )


def _to_server(planner: Planner) -> str:
    """Whether a flow goes to the server (``schema.roles.to_server``); a store without ICMP types takes ICMP as it goes."""
    protocols = ", ".join(map(str, ECHO_REPLIES))
    asked = f"NOT ({_ECHO_REPLY})" if planner.has("icmp_type") else "1"
    return f"multiIf(proto IN ({protocols}), {asked}, {_WITH_PORTS})"


def _end(planner: Planner, role: str, forward: str, back: str) -> str:
    """The columns of one end: of ``forward`` for flows to the server, of ``back`` for the others."""

    def of(column: str) -> str:
        return f"if(to_server, {forward}_{column}, {back}_{column})"

    names = {"owner": of("owner_kind"), "name": of("kind")}
    names |= {"dns_name": f"'{DNS_KIND}'"} if planner.has("src_dns_name") else {}
    names |= {"subnet": f"'{SUBNET_KIND}'"}
    known = [(f"{of(name)} != ''", of(name), kind) for name, kind in names.items()]
    nameless = edge_addresses.kind(f"{role}_addr")
    return ", ".join([
        f"{of('namespace')} AS {role}_namespace",
        f"multiIf({', '.join(f'{is_there}, {name}' for is_there, name, _ in known)}, '') AS {role}_name",
        f"multiIf({', '.join(f'{is_there}, {kind}' for is_there, _, kind in known)}, {nameless}) AS {role}_kind",
        f"{of('layer')} AS layer_of_{role}",
    ])  # fmt: skip


def answer(table: pa.Table, window: Window, extra: pa.Table | None = None) -> Edges:
    """The edges in ``window`` from the results of ``statement`` and, where connections were drawn whole, of ``together``."""
    rows = table.to_pylist()
    if extra is not None:
        more = {tuple(row[key] for key in _KEYS): row for row in extra.to_pylist()}
        rows = [row | add_extra(row, more.get(tuple(row[key] for key in _KEYS), {})) for row in rows]
    edges = tuple(_edge(row, window.end_ms - window.start_ms) for row in rows)
    first: Mapping[str, Any] = rows[0] if rows else {}
    others = {
        Measure.BYTES: first.get("t_m_bytes", 0) - sum(edge.bytes for edge in edges),
        Measure.PACKETS: first.get("t_m_packets", 0) - sum(edge.packets for edge in edges),
        Measure.FLOWS: first.get("t_m_flows", 0) - sum(edge.flows for edge in edges),
    }
    return Edges(edges, first.get("t_edges", 0), others)


def _edge(row: Mapping[str, Any], window_ms: int) -> Edge:
    return Edge(
        client=_read_end(row, "client"),
        server=_read_end(row, "server"),
        port=row["port"] or None,
        proto=row["proto"],
        service=row["service"],
        bytes=row["m_bytes"],
        packets=row["m_packets"],
        flows=row["m_flows"],
        bytes_to_server=row["m_bytes_to_server"],
        retransmits=row["m_retransmits"],
        drop_packets=row["m_drop_packets"],
        rtt_avg_ns=row["m_rtt"] / row["m_rtt_count"] * 1000 if row["m_rtt_count"] else None,
        sampling=sampling_of(row, "s_"),
        signals=edge_signals.read(row, window_ms),
        client_addrs=edge_addresses.read(row, "client"),
        server_addrs=edge_addresses.read(row, "server"),
        asked_ports=tuple(row["asked_ports"]),
    )


def _read_end(row: Mapping[str, Any], role: str) -> End:
    code = row[f"{role}_layer"]
    layer = enums.LAYER[code] if code < len(enums.LAYER) else ""
    return End(row[f"{role}_namespace"], row[f"{role}_name"], row[f"{role}_kind"], layer)
