# SPDX-License-Identifier: Apache-2.0
"""The troubles of all edges together: which of them another one explains, and the list of them all, the gravest first.

A database that answers late makes what asks it late, too, and all that ask it: the database is said first. Before:
``query.troubles``, edge by edge; after: the map's edges and ``/api/v1/troubles``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from flowgauge.query import crossing
from flowgauge.query.gravity import Gravity
from flowgauge.query.troubles import Kind, Trouble, name_words, rank, server_words, troubles
from flowgauge.query.unseen import unseen
from flowgauge.schema.flow_query import FlowQuery, Window
from flowgauge.schema.roles import ECHO_REPLIES
from flowgauge.store.answer import Edge, End
from flowgauge.store.store import FlowStore

_TOO_BIG = "PKT_TOO_BIG"
_NAMED = 3
"""As many are named in a sentence."""


@dataclass(frozen=True, slots=True)
class EdgeTrouble:
    """A trouble and whose it is: workloads (or named peers) with their namespaces, and the server's port."""

    src_namespace: str
    src: str
    dst_namespace: str
    dst: str
    dst_port: int | None
    proto: int
    kind: Kind
    words: str
    cause: str
    count: int
    advice: str
    since_ms: int
    last_ms: int
    gravity: Gravity
    over: bool
    behind: bool


@dataclass(frozen=True, slots=True)
class Worst:
    """The troubles, the gravest first, and in words what goes on between namespaces and why none may be seen, or empty."""

    troubles: tuple[EdgeTrouble, ...]
    crossing: str
    unseen: str


def worst(store: FlowStore, query: FlowQuery) -> Worst:
    """Of the ``query.limit`` largest edges; raises what the store raises."""
    edges = store.edges(query).edges
    found = [(edge, one) for edge, of_edge in zip(edges, together(edges, query.window), strict=True) for one in of_edge]
    ranked = sorted(found, key=lambda pair: rank(pair[1]))
    return Worst(tuple(_of_edge(edge, one) for edge, one in ranked), crossing.words(edges), unseen(edges))


def _of_edge(edge: Edge, one: Trouble) -> EdgeTrouble:
    client, server = edge.client, edge.server
    return EdgeTrouble(
        client.namespace, client.name, server.namespace, server.name, edge.port, edge.proto, one.kind, one.words, one.cause,
        one.count, one.advice, one.since_ms, one.last_ms, one.gravity, one.over, one.behind,
    )  # fmt: skip


def together(edges: Sequence[Edge], window: Window) -> list[tuple[Trouble, ...]]:
    """The troubles of each edge, the gravest first, those marked that others explain."""
    alone = [troubles(edge, window) for edge in edges]
    pairs = [(edge, one) for edge, found in zip(edges, alone, strict=True) for one in found]
    of_all = _OfAll(_firsts(pairs), _late_ends(pairs), any(_goes_on(one) and one.cause == _TOO_BIG for _, one in pairs))
    placed = [[_placed(edge, one, of_all) for one in found] for edge, found in zip(edges, alone, strict=True)]
    return [tuple(sorted(found, key=rank)) for found in placed]


_Pair = tuple[Edge, Trouble]
_What = tuple[Kind, str, End, int | None, int]
"""What clients of one server have in common: the kind, the kernel's reason, and the server with port and protocol."""


@dataclass(frozen=True, slots=True)
class _OfAll:
    """What all troubles together say.

    Attributes:
        firsts: the clients to whom the same happens, those of the larger edges first.
        late: client → the servers that it waits for in vain or too long, each as people say it.
        too_big: whether packets are dropped that are larger than an MTU.
    """

    firsts: Mapping[_What, Sequence[End]]
    late: Mapping[End, Mapping[End, str]]
    too_big: bool


def _goes_on(one: Trouble) -> bool:
    return not one.over and one.gravity is not Gravity.SMALL


def _what(edge: Edge, one: Trouble) -> _What:
    return one.kind, one.cause, edge.server, edge.port, edge.proto


def _firsts(pairs: Iterable[_Pair]) -> dict[_What, list[End]]:
    found: dict[_What, list[End]] = {}
    for edge, one in pairs:
        if _goes_on(one):
            found.setdefault(_what(edge, one), []).append(edge.client)
    return found


def _late_ends(pairs: Iterable[_Pair]) -> dict[End, dict[End, str]]:
    found: dict[End, dict[End, str]] = {}
    for edge, one in pairs:
        if _goes_on(one) and edge.server != edge.client:
            found.setdefault(edge.client, {}).setdefault(edge.server, server_words(edge))
    return found


def _placed(edge: Edge, one: Trouble, of_all: _OfAll) -> Trouble:
    if not _goes_on(one):
        return one
    waits_for = [words for server, words in of_all.late.get(edge.server, {}).items() if server != edge.client]
    if one.kind is Kind.SERVER_TIME and waits_for:
        words = f"{one.words}; what it asks of {_listed(waits_for)} is late or fails, too"
        return replace(one, words=words, advice=f"look at {waits_for[0]} first: what waits for it is late by that", behind=True)
    if one.kind is Kind.DROPS and edge.proto in ECHO_REPLIES and of_all.too_big:
        return replace(one, words=f"{one.words}; so senders may not be told of a smaller MTU", behind=True)
    first, *others = of_all.firsts[_what(edge, one)]
    if first != edge.client:
        return replace(one, behind=True)
    sees = "sees" if len(others) == 1 else "see"
    return replace(one, words=f"{one.words}; {_listed(map(name_words, others))} {sees} the same") if others else one


def _listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and 3 more``."""
    all_ = list(dict.fromkeys(names))
    shown = all_ if len(all_) <= _NAMED else [*all_[: _NAMED - 1], f"{len(all_) - _NAMED + 1} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
