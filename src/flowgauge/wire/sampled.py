# SPDX-License-Identifier: Apache-2.0
"""The sampling rates of records that do not carry their own, from what their exporters told (see ``sampling``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flowgauge.wire.mapping import Reader
from flowgauge.wire.readers import Source, integers
from flowgauge.wire.records import Index, Records
from flowgauge.wire.sampling import SYSTEM, Numbers, Observed, RatesAndSources, resolve
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
    general = np.array([_general(streams[number], number_id) for number, number_id in
                        zip(of_set.tolist(), template_id.tolist(), strict=True)], np.uint32)  # fmt: skip
    rate = general[records.set_row]
    into = rate, np.where(rate > 0, np.uint8(SYSTEM), np.uint8(0))
    sampler = reader.sampler
    seen = Observed(
        *(_values(records, source) for source in (sampler.selector, sampler.in_if, sampler.out_if, sampler.direction))
    )
    stream = of_set[records.set_row]
    for number in present:
        for rates in (streams[number].rates_elsewhere, streams[number].rates):
            if rates.selectors or rates.interfaces:
                resolve(rates, seen, np.flatnonzero(stream == number), into)
    return into


def _general(stream: Stream, template_id: int) -> int:
    return stream.rates.general(template_id) or stream.rates_elsewhere.general(0)


def _values(records: Records, source: Source | None) -> Numbers | None:
    return None if source is None else integers(records, source).astype(np.uint64)
