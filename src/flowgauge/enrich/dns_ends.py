# SPDX-License-Identifier: Apache-2.0
"""Names from DNS for ends of flows that nothing else names. Part of the enrich stage; before: its identities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.enrich.as_of import Ints, Times
from flowgauge.enrich.dns_names import DnsNames, Ends
from flowgauge.enrich.given import Flags, merged
from flowgauge.flow.batch import ColumnData, FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.enums import IDENTITY_SOURCE, code

_DNS = code(IDENTITY_SOURCE, "dns")
_OTHER = {"src": "dst", "dst": "src"}


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a batch: its distinct addresses, of each end the position there, and when its flow was."""

    distinct: Sequence[bytes]
    keys: Mapping[str, Ints]
    start_ms: Times
    end_ms: Times


def dns_columns(
    dns: DnsNames, batch: FlowBatch, rows: Rows, nameless: Mapping[str, Flags], so_far: Mapping[str, ColumnData]
) -> dict[str, ColumnData]:
    """The columns ``…_dns_name``, and how the ends are known that have one; none where no end has.

    Args:
        dns: what clients resolved.
        batch: the flows.
        rows: what they are looked up by.
        nameless: by end, the rows that have no other name.
        so_far: columns as they are without names from DNS.

    A name that came with the record stays where ours is missing.
    """
    known = dns.known(rows.distinct)
    found: dict[str, ColumnData] = {}
    for end, other in _OTHER.items():
        at = np.flatnonzero(nameless[end] & known[rows.keys[end]])
        if not len(at):
            continue
        reporters = batch.names("node_reporter")
        ends = Ends(rows.keys[end][at], rows.keys[other][at], reporters.codes[at], rows.start_ms[at], rows.end_ms[at])
        named = dns.names(rows.distinct, reporters.values, ends)
        has = named.names.codes > 0
        at, confidence = at[has], named.confidence[has]
        found[f"{end}_dns_name"] = _spread(batch, f"{end}_dns_name", at, named.names.take(has))
        source, sureness = (np.array(so_far[f"{end}_identity_{what}"]) for what in ("source", "confidence"))
        source[at], sureness[at] = _DNS, confidence
        found[f"{end}_identity_source"], found[f"{end}_identity_confidence"] = source, sureness
    return found


def _spread(batch: FlowBatch, column: str, at: npt.NDArray[np.intp], names: Names) -> Names:
    codes = np.zeros(len(batch), np.int32)
    codes[at] = names.codes
    ours = Names(codes, names.values)
    return merged(ours, batch.names(column), codes == 0) if column in batch else ours
