# SPDX-License-Identifier: Apache-2.0
"""The sampling rates of records that do not carry their own, from what their exporters told (see ``sampling``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flowgauge.wire.mapping import Reader
from flowgauge.wire.readers import Source, integers
from flowgauge.wire.records import Index, Records
from flowgauge.wire.sampling import SYSTEM, Numbers, Observed, Rates, RatesAndSources, resolve
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
    present = np.unique(of_set).tolist()
    if not len(records) or not any(streams[number].rates or streams[number].rates_elsewhere for number in present):
        return None
    keys = list(zip(of_set.tolist(), template_id.tolist(), strict=True))
    told = {(number, template): _general(streams[number], template) for number, template in set(keys)}
    general = np.array([told[key] for key in keys], np.uint32)
    rate = general[records.set_row]
    into = rate, np.where(rate > 0, np.uint8(SYSTEM), np.uint8(0))
    nearest = {number: _nearest(streams[number]) for number in present}
    alike = all(rates == nearest[present[0]] for rates in nearest.values())
    nearest = {number: rates for number, rates in nearest.items() if rates.selectors or rates.interfaces}
    if not nearest:
        return into
    named, interfaces = reader.sampler, any(rates.interfaces for rates in nearest.values())
    seen = Observed(
        selector=_values(records, named.selector),
        in_if=_values(records, named.in_if if interfaces else None),
        out_if=_values(records, named.out_if if interfaces else None),
        direction=_values(records, named.direction if interfaces else None),
    )
    if alike:  # exporters of one network are mostly configured alike
        resolve(nearest[present[0]], seen, np.arange(len(records)), into)
        return into
    stream = of_set[records.set_row]
    for number, rates in nearest.items():
        resolve(rates, seen, np.flatnonzero(stream == number), into)
    return into


def _nearest(stream: Stream) -> Rates:
    """What was told of samplers and interfaces in the domain itself, else elsewhere."""
    own = stream.rates
    return own if own.selectors or own.interfaces else stream.rates_elsewhere


def _general(stream: Stream, template_id: int) -> int:
    return stream.rates.general(template_id) or stream.rates_elsewhere.general(0)


def _values(records: Records, source: Source | None) -> Numbers | None:
    return None if source is None else integers(records, source).astype(np.uint64)
