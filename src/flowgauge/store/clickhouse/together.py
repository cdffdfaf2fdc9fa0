# SPDX-License-Identifier: Apache-2.0
"""What connections that were sampled as a whole add to the variance of sums: their records are drawn together.

``ddl.sampling_sums`` takes each record as drawn alone: N·(N-1)·x². All records of a connection (each interval's, both
directions') stand or fall by one draw, so the square is that of their sum. This is a second statement, asked only where such
records were found, since it groups by connection. Records whose N differs (an exporter's rate limit) are drawn by nested
thresholds of one hash; √(N·(N-1))·x summed before it is squared is at least their variance. Of ``other`` sampling (packets
at the exporter, connections at the collector) all of N counts as drawn whole: at most twice the variance, never less.
"""

# ruff: noqa: S608 - statements are made of the registry's own names; values are parameters
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flowgauge.schema.flow_query import FlowQuery
from flowgauge.schema.roles import CLIENT_PORTS_FROM
from flowgauge.store.clickhouse.planner import Planner, Statement

_SRC, _DST = "cityHash64(src_addr, src_port)", "cityHash64(dst_addr, dst_port)"
_FROM, _TO = f"src_port >= {CLIENT_PORTS_FROM}", f"dst_port >= {CLIENT_PORTS_FROM}"

CONNECTION = f"multiIf({_FROM} AND NOT {_TO}, {_SRC}, {_TO} AND NOT {_FROM}, {_DST}, {_SRC} + {_DST})"
"""The same for both directions, before and behind a Service's address: by the client's end where one can be told."""

EXTRA = (
    "greatest(0., sum(packets_together * packets_together - packets_alone)) AS packets_extra, "
    "greatest(0., sum(bytes_together * bytes_together - bytes_alone)) AS bytes_extra"
)
"""Over the rows of ``of_connections``: what is to be added to both variances."""

_DRAWN = "sqrt(toFloat64(sampling_rate) * (sampling_rate - 1))"


def statement(planner: Planner, query: FlowQuery, *, total: bool) -> Statement:
    """One row for each group of ``planner.groups`` that has such connections (keys k0…), or one over all flows."""
    condition, params = planner.condition(query)
    keys = {} if total else planner.keys(query)
    top, more = ("1", {}) if total else planner.in_top(query)
    named = ", ".join(["*", *(f"{sql} AS {key}" for key, sql in keys.items())])
    of_each = of_connections(f"SELECT {named} FROM flows WHERE {condition} AND {top}", keys, planner.drawn_whole())
    grouped = f"GROUP BY {', '.join(keys)}" if keys else ""
    return Statement(f"SELECT {', '.join([*keys, EXTRA])} FROM ({of_each}) {grouped}", params | more)


def of_connections(source: str, keys: Iterable[str], drawn_whole: str, *more: str) -> str:
    """A SELECT with one row for each group of ``keys`` and connection in it.

    ``source`` is a SELECT of flows that has the ``keys``; ``drawn_whole`` the condition of records that count; ``more`` are
    further sums.
    """
    sums = [
        f"sumIf({_DRAWN} * {name}, {drawn_whole}) AS {name}_together, "
        f"sumIf(pow({_DRAWN} * {name}, 2), {drawn_whole}) AS {name}_alone"
        for name in ("packets", "bytes")
    ]
    grouped = ", ".join([*keys, "connection"])
    columns = ", ".join([*keys, f"if({drawn_whole}, {CONNECTION}, 0) AS connection", *sums, *more])
    return f"SELECT {columns} FROM ({source}) GROUP BY {grouped}"


def add_extra(row: Mapping[str, Any], extra: Mapping[str, Any], prefix: str = "s_") -> dict[str, Any]:
    """The variances of ``row`` with what a row of ``EXTRA`` adds to them."""
    return {
        f"{prefix}{measure}_variance": (row.get(f"{prefix}{measure}_variance") or 0) + (extra.get(f"{measure}_extra") or 0)
        for measure in ("packets", "bytes")
    }
