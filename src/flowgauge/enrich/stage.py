# SPDX-License-Identifier: Apache-2.0
"""The pipeline's enrich stage: puts names on both ends of every flow, as of the flow's own time.

Each distinct address is looked up once, and again when something about it has changed; all else is taking by index. An
identity comes, in this order, from what holds the address in Kubernetes (``ends`` has the rules, ``within_pods`` those of
loopback), a fixed name of the document, the node in whose pod block the address is. Beside it stands the label of the address's
subnet. Names that came with the records have their place between (``given``). An end that has no name by then may have one from
DNS (``dns_ends``).

Before: ``pipeline.late`` (times are in ms by then); after: ``pipeline.dedup``, which needs the nodes. Used by one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.config.model import Enrichment
from flowgauge.enrich import ends
from flowgauge.enrich.as_of import Bytes, Ints
from flowgauge.enrich.blocks import Blocks
from flowgauge.enrich.dns_ends import Rows, dns_columns
from flowgauge.enrich.dns_names import DnsNames
from flowgauge.enrich.ends import End, Seen
from flowgauge.enrich.fallback import Fallback, Said
from flowgauge.enrich.gather import Gathered
from flowgauge.enrich.given import Flags, Given, given, merged, overlaid
from flowgauge.enrich.identities import Identities
from flowgauge.enrich.identity_table import IdentityTable
from flowgauge.enrich.known import Known
from flowgauge.enrich.kubernetes import KubernetesIndex
from flowgauge.enrich.numbering import AddressNumbers, Distinct
from flowgauge.enrich.served_ports import served_ports
from flowgauge.enrich.texts import Texts
from flowgauge.enrich.within_pods import WithinPods
from flowgauge.flow import addresses
from flowgauge.flow.addresses import AddressColumn
from flowgauge.flow.batch import ColumnData, FlowBatch
from flowgauge.flow.names import Names
from flowgauge.runtime.metrics import Sample
from flowgauge.schema.enums import IDENTITY_CONFIDENCE, IDENTITY_SOURCE, code

_ENDS = ("src", "dst")
_SUBNET, _NONE = code(IDENTITY_SOURCE, "subnet"), code(IDENTITY_SOURCE, "none")
_NEVER = np.iinfo(np.int64).max
"""Instead of a time where there is no flow."""
_RECORD = code(IDENTITY_SOURCE, "record")
_EXACT, _LIKELY = (code(IDENTITY_CONFIDENCE, label) for label in ("exact", "likely"))


PREPARED = 20_000
"""Identities that are made at the start, about 500 B each: of more most are never asked for."""


class Enricher:
    """The stage; a changed document makes a new one on the same index.

    Args:
        index: who has which address.
        enrichment: section ``spec.collector.enrichment`` of the document.
        dns: names that clients resolved; None: nobody tells any.
        catch_up: called before each batch, so that what is known is as new as its flows.
    """

    def __init__(self, index: KubernetesIndex, enrichment: Enrichment, dns: DnsNames | None = None,
                 catch_up: Callable[[], None] = lambda: None) -> None:  # fmt: skip
        self._index, self._dns, self._catch_up = index, dns or DnsNames(), catch_up
        identities = Identities(enrichment)
        self._layer_of = identities.layer_of
        self._blocks, self._table = Blocks(enrichment), IdentityTable(identities)
        self._fallback = Fallback(self._blocks, identities, self._table)
        self._numbers = AddressNumbers()
        self._known = Known(self._numbers, self._table)
        self._labels = Texts()
        self._label_codes = np.array([self._labels[label] for label in self._blocks.labels], np.int32)
        self._ends_by_source = np.zeros(len(IDENTITY_SOURCE), np.int64)

    def __call__(self, batch: FlowBatch) -> FlowBatch:
        """``batch`` with names, Service, subnet, layer and how the identity is known, for both ends."""
        self._catch_up()
        end_ms = batch.array("time_end_ms")
        start_ms = end_ms - batch.array("duration_ms").astype(np.int64)
        numbered, own, translated = _numbered(batch, self._numbers)
        distinct = numbered.addresses
        packed: list[Any] = distinct.view(np.dtype((np.void, 16))).reshape(-1).tolist()
        keys = {end: own[end].key for end in _ENDS}
        within = {end: WithinPods(batch, end, distinct, keys[end]) for end in _ENDS}
        uids = within["src"].uids | within["dst"].uids
        gathered = self._gather(numbered, (int(start_ms.min(initial=_NEVER)), int(end_ms.max(initial=-_NEVER))), uids)
        src = within["src"].named(ends.source(gathered, own["src"], translated["src"], start_ms, end_ms), gathered.pods)
        dst = within["dst"].named(ends.destination(gathered, own["dst"], translated["dst"], start_ms, end_ms), gathered.pods)
        told = {end: one for end in _ENDS if (one := given(batch, end)) is not None}
        columns, nameless = self._columns(gathered, distinct, keys, {"src": src, "dst": dst}, told)
        columns |= dns_columns(self._dns, batch, Rows(packed, keys, start_ms, end_ms), nameless, columns)
        self._count(columns)
        for name in ("src_service", "dst_service"):
            if name in batch:
                ours = columns[name]
                assert isinstance(ours, Names)  # noqa: S101 - it is a column of names
                columns[name] = merged(ours, batch.names(name), ours.codes == 0)
        return batch.with_columns(columns | self._ports(batch, columns, {"src": src.service, "dst": dst.service}))

    def prepare(self) -> None:
        """Makes the identities of what is known by now, before there are flows; of more than ``PREPARED`` when they come."""
        with self._index.reading() as state:
            self._table.begin(state)
            for holder in islice(state.holders(), PREPARED):
                self._table.number(holder, state)

    def samples(self) -> Iterable[Sample]:
        """How the ends of all flows so far were known."""
        help_ = "Ends of flows by how their names are known: watch, nat, record, dns, subnet or none."
        return [
            Sample("enrich_ends", help_, int(count), {"identity_source": label}, cumulative=True)
            for label, count in zip(IDENTITY_SOURCE, self._ends_by_source.tolist(), strict=True)
            if count
        ]

    def _count(self, columns: Mapping[str, ColumnData]) -> None:
        for end in _ENDS:
            self._ends_by_source += np.bincount(np.asarray(columns[f"{end}_identity_source"]), minlength=len(IDENTITY_SOURCE))

    def _ports(
        self, batch: FlowBatch, columns: Mapping[str, ColumnData], services: Mapping[str, Ints]
    ) -> dict[str, ColumnData]:
        named = {end: columns[f"{end}_service"] for end in _ENDS}
        serves = {end: np.asarray(names.codes > 0) for end, names in named.items() if isinstance(names, Names)}
        return served_ports(batch, services, serves, self._table.services)

    def _gather(self, distinct: Distinct, span: tuple[int, int], uids: Collection[str]) -> Gathered:
        with self._index.reading() as state:
            self._table.begin(state)
            self._fallback.refresh(state)
            self._known.begin(state)
            return Gathered(distinct, span, state, self._table, self._known, uids=uids)

    def _columns(
        self, gathered: Gathered, distinct: AddressColumn, keys: dict[str, Ints], found: dict[str, End], told: dict[str, Given]
    ) -> tuple[dict[str, ColumnData], dict[str, Flags]]:
        """The columns of both ends, and by end which rows nobody has named."""
        said = self._fallback.say(distinct)
        label = self._label_codes[self._blocks.label(distinct, gathered.has_holder | (said.identity > 0))]
        columns: dict[str, ColumnData] = {}
        identities: list[Ints] = []
        by_record: dict[str, Flags] = {}
        nameless: dict[str, Flags] = {}
        for end in _ENDS:
            identity, source, confidence = _explained(found[end], said, keys[end], label[keys[end]] > 0)
            nameless[end] = identity == 0
            if end in told:
                rows = by_record[end] = told[end].rows & (found[end].identity == 0) & (said.confidence[keys[end]] != _EXACT)
                identity[rows], source[rows], confidence[rows] = 0, _RECORD, _LIKELY
                nameless[end] &= ~rows
            identities.append(identity)
            columns[f"{end}_identity_source"], columns[f"{end}_identity_confidence"] = source, confidence
        columns["src_subnet"], columns["dst_subnet"] = self._labels.columns(label, keys["src"], keys["dst"])
        columns |= self._table.services.columns(found["src"].service, found["dst"].service)
        columns |= self._table.identity_columns(*identities)
        for end, rows in by_record.items():
            columns |= overlaid(columns, end, told[end], rows, self._layer_of)
        return columns, nameless


def _explained(end: End, said: Said, keys: Ints, has_label: npt.NDArray[np.bool_]) -> tuple[Ints, Bytes, Bytes]:
    """(identity, source, confidence) of each row, where nobody was found with what else is said of the address."""
    nobody = end.identity == 0
    identity = np.where(nobody, said.identity[keys], end.identity)
    otherwise = np.where((identity > 0) | has_label, _SUBNET, _NONE)
    of_label = np.where((identity == 0) & has_label, _LIKELY, said.confidence[keys])
    return (
        identity.astype(np.int32),
        np.where(nobody, otherwise, end.source).astype(np.uint8),
        np.where(nobody, of_label, end.confidence).astype(np.uint8),
    )


def _numbered(batch: FlowBatch, numbers: AddressNumbers) -> tuple[Distinct, dict[str, Seen], dict[str, Seen]]:
    """The distinct addresses, and both ends of each row by their position there: as they are, and translated."""
    translated = {end: batch.array(f"post_nat_{end}_addr") for end in _ENDS}
    rows = {end: _told(column) for end, column in translated.items()}
    columns = [batch.array(f"{end}_addr") for end in _ENDS] + [translated[end][rows[end]] for end in _ENDS]
    distinct = numbers.distinct(np.concatenate(columns))
    parts = np.split(distinct.rows.astype(np.int32), np.cumsum([len(column) for column in columns[:-1]]))
    own = {end: Seen(part, _port_keys(batch, f"{end}_port")) for end, part in zip(_ENDS, parts[:2], strict=True)}
    after: dict[str, Seen] = {}
    for end, part in zip(_ENDS, parts[2:], strict=True):
        keys = np.full(len(batch), -1, np.int32)
        keys[rows[end]] = part
        after[end] = Seen(keys, _port_keys(batch, f"post_nat_{end}_port"))
    return distinct, own, after


def _told(column: AddressColumn) -> npt.NDArray[np.intp]:
    """The rows that have an address."""
    high, low = addresses.words(column).T
    return np.flatnonzero(high | low)


def _port_keys(batch: FlowBatch, column: str) -> Ints:
    return batch.array("proto").astype(np.int32) << 16 | batch.array(column).astype(np.int32)
