# SPDX-License-Identifier: Apache-2.0
"""Decodes messages of package ``pbflow``: a batch of records (gRPC), or one record each (Kafka), into public columns.

Like :class:`flowgauge.wire.decoder.Decoder` for its caller. The protocol has no sequence numbers: what gets lost before us is
not known. Records that an older agent marked as seen at another interface too are left out, counted as duplicates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from flowgauge.flow.batch import FlowBatch
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Decoded, Problem, StreamReport
from flowgauge.wire.pbflow.columns import columns, has_addresses
from flowgauge.wire.pbflow.messages import RECORD, RECORDS
from flowgauge.wire.problems import MAX_PROBLEMS


class PbflowDecoder:
    """Decodes; without state but for what it counts.

    Args:
        single: whether a message is one record instead of a batch of them.
    """

    def __init__(self, *, single: bool = False) -> None:
        self._single = single
        self._given = 0

    def decode(self, datagrams: Datagrams) -> Decoded:
        """The flows of messages, each of which is a row of ``datagrams``."""
        counts: dict[str, int] = {}
        problems: list[Problem] = []
        batches = []
        for row, length in enumerate(datagrams.lengths.tolist()):
            sender = datagrams.source_addr[row].tobytes()
            entries, found = self._entries(datagrams.payloads[row, :length].tobytes(), sender)
            self._given += 1
            problems += found
            if found:
                counts["decode_error_datagrams"] = counts.get("decode_error_datagrams", 0) + 1
            once = [one for one in entries if not one.duplicate]
            if len(once) < len(entries):
                _add(counts, "pipeline_duplicates_dropped", len(entries) - len(once))
            _add(counts, "decode_records", len(entries))
            if once:
                batches.append(FlowBatch(columns(once, sender, int(datagrams.received_ns[row])), len(once)))
        causes = {cause: sum(one.cause == cause for one in problems) for cause in {one.cause for one in problems}}
        counts = {name: count for name, count in counts.items() if count}
        return Decoded(FlowBatch.concat(batches), (), counts, tuple(problems[:MAX_PROBLEMS]), causes)

    def finish(self) -> Mapping[str, int]:
        """Nothing waits."""
        return {}

    def reports(self) -> Sequence[StreamReport]:
        """Nothing is known of how a stream stands."""
        return ()

    def _entries(self, payload: bytes, sender: bytes) -> tuple[list[Any], list[Problem]]:
        try:
            entries = [RECORD.FromString(payload)] if self._single else RECORDS.FromString(payload).entries
        except DecodeError as error:
            return [], [Problem(sender, "protobuf", 0, "a message of package pbflow", str(error)[:80], self._given)]
        whole = [one for one in entries if has_addresses(one)]
        problems = []
        if len(whole) < len(entries):
            missing = f"{len(entries) - len(whole)} of {len(entries)} records have none"
            problems.append(Problem(sender, "no_addresses", 0, "both addresses in every record", missing, self._given))
        return whole, problems


def _add(counts: dict[str, int], name: str, count: int) -> None:
    counts[name] = counts.get(name, 0) + count


def encode(entries: Any) -> bytes:
    """One gRPC message of prepared records; for tests and benches, which play an agent."""
    batch = RECORDS()
    batch.entries.extend(entries)
    content: bytes = batch.SerializeToString()
    return content
