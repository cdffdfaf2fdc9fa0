# SPDX-License-Identifier: Apache-2.0
"""Conversations between namespaces, where what nobody expects is looked for, said first and in words. Pure.

Of workloads, and without infrastructure, which all of them need: DNS, monitoring. After this: the map's edges, ``troubles``.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from flowgauge.query.troubles import client_words, server_words
from flowgauge.store.answer import Edge, End

_NAMED = 2
"""As many are named in the sentence, the largest."""


class Crossing(StrEnum):
    """Whether an edge goes from one namespace to another one: between applications, or to or from infrastructure."""

    NONE = ""
    APP = "app"
    INFRA = "infra"


def crossing(edge: Edge) -> Crossing:
    """What the edge crosses."""
    ends = (edge.client, edge.server)
    if not all(end.namespace and end.name for end in ends) or edge.client.namespace == edge.server.namespace:
        return Crossing.NONE
    return Crossing.INFRA if any(end.layer == "infra" for end in ends) else Crossing.APP


def words(edges: Iterable[Edge]) -> str:
    """``1 conversation between namespaces: stock-report (other-team) → postgresql:5432 (flow-demo)``; empty without one."""
    found = [edge for edge in edges if crossing(edge) is Crossing.APP]
    if not found:
        return ""
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return (
        f"{len(found):,} conversation{'' if len(found) == 1 else 's'} between namespaces: "
        f"{', '.join(map(_named, found[:_NAMED]))}{more}"
    )


def _named(edge: Edge) -> str:
    return f"{_in(client_words(edge), edge.client)} → {_in(server_words(edge), edge.server)}"


def _in(name: str, end: End) -> str:
    return f"{name} ({end.namespace})"
