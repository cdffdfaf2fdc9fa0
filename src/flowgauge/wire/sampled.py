# SPDX-License-Identifier: Apache-2.0
"""The sampling rates of records that do not carry their own, from what their exporters told (see ``sampling``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from flowgauge.wire.exporter_rates import Agreed
from flowgauge.wire.mapping import Reader
from flowgauge.wire.readers import Source, integers
from flowgauge.wire.records import Index, Records
from flowgauge.wire.sampling import DISPUTED, SYSTEM, Numbers, Observed, Rates, RatesAndSources, resolve
from flowgauge.wire.streams import Stream


def sampled(
    records: Records, reader: Reader, streams: Sequence[Stream], of_set: Index, template_id: npt.NDArray[np.int64]
) -> RatesAndSources | None:
    """Rates and where they are from, one a record; None when no exporter of these records has told anything.

    Args:
        records: of one layout.
        reader: of the layout.
        streams: of the batch.
        of_set: for each set which of them it is of.
        template_id: for each set.
    """
    present = np.flatnonzero(np.bincount(of_set)).tolist()
    own = {number: streams[number].rates for number in present}
    others = {number: streams[number].exporter_rates.agreed for number in present}
    if not len(records) or not (any(own.values()) or any(others.values())):
        return None
    keys = list(zip(of_set.tolist(), template_id.tolist(), strict=True))
    told = {(number, template): own[number].general(template) for number, template in set(keys)}
    rate = np.array([told[key] for key in keys], np.uint32)[records.set_row]
    into = rate, np.where(rate > 0, np.uint8(SYSTEM), np.uint8(0))
    nearest = _Nearest(records, reader, of_set)
    nearest.resolve(own, np.arange(len(records)), into)
    if any(others.values()):
        _ask_others(others, nearest, into)
    return into


def _ask_others(others: Mapping[int, Agreed], nearest: _Nearest, into: RatesAndSources) -> None:
    """Fills rows of which nothing was told in their own domain; where the others differ, the source says so."""
    rate, source = into
    open_ = np.flatnonzero(rate == 0)
    if not len(open_):
        return
    whole, heard = np.zeros(max(others) + 1, np.uint32), np.zeros(max(others) + 1, np.bool_)
    for number, agreed in others.items():
        whole[number], heard[number] = agreed.rates.system, agreed.rates.system > 0 or agreed.disputed
    of_stream = nearest.stream[open_]
    rate[open_], source[open_] = whole[of_stream], heard[of_stream] * np.uint8(SYSTEM)
    nearest.resolve({number: agreed.rates for number, agreed in others.items()}, open_, into)
    source[(rate == 0) & (source != 0)] = DISPUTED


class _Nearest:
    """Looks up rates by the samplers and interfaces that records of one layout name; these are read once, when needed."""

    def __init__(self, records: Records, reader: Reader, of_set: Index) -> None:
        self._records, self._named = records, reader.sampler
        self._of_set = of_set
        self._seen: dict[str, Numbers | None] = {}

    @property
    def stream(self) -> Index:
        """Of each record, the number of its stream."""
        return self._of_set[self._records.set_row]

    def resolve(self, told: Mapping[int, Rates], rows: npt.NDArray[np.intp], into: RatesAndSources) -> None:
        """Writes what was told, by stream, of samplers and interfaces over what some rows have."""
        nearer = {number: rates for number, rates in told.items() if rates.selectors or rates.interfaces}
        if not nearer:
            return
        seen = self._observed(interfaces=any(rates.interfaces for rates in nearer.values()))
        first = next(iter(told.values()))
        if all(rates == first for rates in told.values()):  # exporters of one network are mostly configured alike
            resolve(first, seen, rows, into)
            return
        stream = self.stream[rows]
        for number, rates in nearer.items():
            resolve(rates, seen, rows[stream == number], into)

    def _observed(self, *, interfaces: bool) -> Observed:
        named = self._named
        return Observed(
            selector=self._values("selector", named.selector),
            in_if=self._values("in_if", named.in_if if interfaces else None),
            out_if=self._values("out_if", named.out_if if interfaces else None),
            direction=self._values("direction", named.direction if interfaces else None),
        )

    def _values(self, name: str, source: Source | None) -> Numbers | None:
        if source is None:
            return None
        if name not in self._seen:
            self._seen[name] = integers(self._records, source).astype(np.uint64)
        return self._seen[name]
