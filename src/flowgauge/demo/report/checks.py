# SPDX-License-Identifier: Apache-2.0
"""What must hold at the end of a demo, each as one sentence of evidence. Pure: ``Findings`` in, ``Check`` out.

Without sampling counts must be exact; with it, within the error that sampling has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from flowgauge.demo.report.accuracy import MAX_BYTE_ERROR, SIGMAS, Account, Accuracy
from flowgauge.demo.report.edges import DATABASE_EDGE, PAYMENTS_EDGE, STORY, Known, outside_edge
from flowgauge.demo.report.handshakes import OVER_TLS
from flowgauge.demo.report.identity import Identity
from flowgauge.demo.report.ledger import Balance
from flowgauge.demo.report.score import Score
from flowgauge.demo.report.signals import CHECKED
from flowgauge.demo.report.transfer import MAX_ERROR, TransferAccount
from flowgauge.schema.flow_query import Measure
from flowgauge.store.answer import Edge

FIRST_FLOW_WITHIN_S = 25.0
VISIBLE_WITHIN_S = 3.0
"""Beyond the export interval."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that had to hold."""

    name: str
    held: bool
    detail: str


class Counting(StrEnum):
    """How the document lets packets be counted: each one, one of N, or only those of some flows, of which no sum is known."""

    EXACT = "exact"
    PACKETS = "packets"
    FLOWS = "flows"


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run showed.

    Attributes:
        counting: what can be asked of counts.
        sampling: N of the agents' 1:N.
        keeps_duplicates: whether other nodes' observations of the same packets are stored too.
        sees_pods: whether the document lets agents observe the pods' links.
        sees_sockets: whether agents can say what sockets know: by eBPF, and not switched off.
        interval_s: export interval.
        setup_s, first_named_flow_s: since the start of the command; None: never.
        visible_s: from a click (or, with sampling, a flow's last packet) to the named flow in the API; None: it never came.
        nodes, pods: how many there were.
        replaced: whether a pod was replaced and its address reused.
        outside_label: of the outside client; empty: the document gives it none.
        transfer: None where its pods' links are not observed.
        signals: how well signals agree with their truth.
    """

    counting: Counting
    sampling: int
    keeps_duplicates: bool
    sees_pods: bool
    sees_sockets: bool
    interval_s: float
    setup_s: float
    first_named_flow_s: float | None
    visible_s: float | None
    nodes: int
    pods: int
    replaced: bool
    outside_label: str
    edges: Sequence[Edge]
    accuracy: Accuracy
    identity: Identity
    balance: Balance
    transfer: TransferAccount | None
    signals: Sequence[Score] = ()

    @property
    def measures_signals(self) -> bool:
        """Whether every signal must be there: without every packet, or every connection, one may be missing for good reason."""
        return self.exact and self.sees_pods and self.sees_sockets

    @property
    def exact(self) -> bool:
        """Whether every packet was counted."""
        return self.counting is Counting.EXACT


def checks(found: Findings) -> list[Check]:
    """All checks that apply to the run."""
    return [
        *_timely(found),
        *_counts(found),
        *_transferred(found),
        *_not_ip(found),
        *_names(found),
        *_edges(found),
        *_signals(found),
        *_ledger(found),
    ]


def _timely(found: Findings) -> Iterator[Check]:
    """With whole flows left out nobody knows which will be seen, and when."""
    if found.counting is Counting.FLOWS:
        return
    first, limit = found.first_named_flow_s, found.interval_s + VISIBLE_WITHIN_S
    yield Check("first named flow", first is not None and first <= FIRST_FLOW_WITHIN_S, _seconds(first, FIRST_FLOW_WITHIN_S))
    seen = found.visible_s
    name = "a click becomes a named flow" if found.exact else "a flow is visible soon after its last packet"
    yield Check(name, seen is not None and seen <= limit, _seconds(seen, limit))


def _seconds(taken: float | None, limit: float) -> str:
    return f"{'it never came' if taken is None else f'{taken:.1f} s'}, at most {limit:.0f} s are allowed"


def _counts(found: Findings) -> Iterator[Check]:
    if found.counting is Counting.EXACT and found.accuracy.accounts and found.keeps_duplicates:
        yield from _exact_counts(found)
    elif found.counting is Counting.PACKETS:
        yield from _counts_within_error(found)


def _exact_counts(found: Findings) -> Iterator[Check]:
    accounts = found.accuracy.accounts
    off = [f"{account.place.name}: {account.packets_off:+}" for account in accounts if account.packets_off]
    total = sum(account.place.packets for account in accounts)
    yield Check(
        "packets equal the interfaces'",
        not off and total > 0,
        ", ".join(off) or f"difference 0 at {len(accounts)} links, {total:,} packets{_unsure(accounts)}",
    )
    worst = max(accounts, key=lambda account: account.error)
    yield Check(
        "bytes equal the interfaces'",
        worst.error <= MAX_BYTE_ERROR,
        f"largest difference {worst.error:.4%} ({worst.place.name}), at most {MAX_BYTE_ERROR:.1%} is allowed",
    )


def _unsure(accounts: Sequence[Account]) -> str:
    """How many packets flows have more, which passed while counters were read, or which a device dropped behind the hook."""
    more = sum(account.packets - account.place.packets for account in accounts)
    return f", and {more:,} that passed while counters were read, or that a device dropped behind the hook" if more else ""


def _counts_within_error(found: Findings) -> Iterator[Check]:
    accounts = found.accuracy.accounts
    if accounts and found.keeps_duplicates:
        outside = [
            f"{account.place.name}: {account.packets:,} for {account.place.packets:,} packets"
            for account in accounts
            if account.packets and not account.within_error
        ]
        yield Check(
            "scaled figures lie within their error",
            not outside and any(account.packets for account in accounts),
            ", ".join(outside) or f"packets and bytes within {SIGMAS:.0f} standard deviations at {len(accounts)} links",
        )
    edge = next((edge for edge in found.edges if DATABASE_EDGE.is_in([edge])), None)
    error = edge.sampling.error(Measure.BYTES, edge.bytes) if edge else None
    yield Check(
        "the database connection is shown, scaled, with its error",
        edge is not None and edge.sampling.approx and error is not None,
        f"≈ {edge.bytes:,} bytes ± {error:.0%}" if edge and error is not None else "no such edge, or no error stated",
    )


def _transferred(found: Findings) -> Iterator[Check]:
    account = found.transfer
    if account is None or found.counting is Counting.FLOWS:
        return
    limit = MAX_ERROR if found.exact else SIGMAS * math.sqrt(found.sampling / max(account.packets, 1)) + MAX_ERROR
    transfer = account.transfer
    repeated = f" and {transfer.segments.repeated:,} repeated" if transfer.segments.repeated else ""
    yield Check(
        "bulk transfer: packets equal TcpOutSegs",
        account.packets_error <= limit,
        f"{account.packets:,} in flows, {transfer.segments.new:,}{repeated} by the kernel, at most {limit:.2%} is allowed",
    )
    yield Check(
        "bulk transfer: bytes equal the bytes sent",
        account.bytes_error <= limit,
        f"{account.payload_bytes:,} in flows without headers, {transfer.sent_bytes:,} sent, at most {limit:.2%} is allowed",
    )


def _not_ip(found: Findings) -> Iterator[Check]:
    places = [account.place for account in found.accuracy.accounts]
    if places:
        off = [f"{p.name}: {p.hook_frames} by the hook, {p.nft_frames} by nft" for p in places if p.hook_frames != p.nft_frames]
        total = sum(place.nft_frames for place in places)
        yield Check("frames that are not IP: hook and nft agree", not off, ", ".join(off) or f"{total} frames")


def _names(found: Findings) -> Iterator[Check]:
    identity = found.identity
    examples = f"; {identity.examples[0]}" if identity.examples else ""
    yield Check(
        "no name is wrong",
        identity.wrong == 0 and identity.checked > 0,
        f"{identity.wrong} of {identity.checked:,} ends{examples}",
    )
    yield Check("no name is missing", identity.unknown == 0, f"{identity.unknown} of {identity.checked:,} ends{examples}")
    if found.replaced and found.exact and found.sees_pods:
        holders = ", ".join(f"{name}: {count}" for name, count in identity.reused.items())
        yield Check("both holders of the reused address have flows", len(identity.reused) > 1, holders or "none")


def _edges(found: Findings) -> Iterator[Check]:
    for known in _expected(found):
        held = known.is_in(found.edges)
        yield Check(f"edge: {known.words}", held, "present, named at both ends" if held else "missing, or a name is")


def _expected(found: Findings) -> Sequence[Known]:
    """Short conversations may be missed by sampling; those within one node where only uplinks are observed."""
    if not found.exact:
        return [DATABASE_EDGE] if found.counting is Counting.PACKETS else []
    outside = [outside_edge(found.outside_label)] if found.outside_label else []
    paid = [PAYMENTS_EDGE] if found.sees_pods and any(one.name == OVER_TLS and one.truth for one in found.signals) else []
    return [*outside, *(known for known in STORY if found.sees_pods or known.crosses_nodes), *paid]


def _signals(found: Findings) -> Iterator[Check]:
    for score in found.signals if found.measures_signals else ():
        if score.name in CHECKED:
            detail = f"{score.measured:g} {score.where}, {score.truth:g} by {score.source}"
            yield Check(score.name, score.held, f"{detail}, off by {score.error:g}, at most {score.allowed:g} is allowed")


def _ledger(found: Findings) -> Iterator[Check]:
    balance = found.balance
    losses = ", ".join(f"{count} {name}" for name, count in balance.losses.items()) or "nothing lost"
    yield Check(
        "ledger: offered = stored + losses",
        balance.residual == 0 and balance.offered > 0,
        f"{balance.offered:,} offered, {balance.stored:,} stored, {balance.options:,} options, {losses}, "
        f"residual {balance.residual}",
    )
    yield Check(
        "ledger: packets seen = in flows + losses",
        balance.packets_residual == 0 and balance.packets_seen > 0,
        f"{balance.packets_seen:,} seen, {balance.packets_kept:,} in flows, residual {balance.packets_residual}",
    )
