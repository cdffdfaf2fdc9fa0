# SPDX-License-Identifier: Apache-2.0
"""All flows of a range as an Arrow stream: for exports and for notebooks, which the JSON of ten thousand does not serve."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import pyarrow as pa
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from flowgauge.console.question import Asked, column_names
from flowgauge.console.services import Services, Use
from flowgauge.errors import EnvironmentProblem
from flowgauge.flow.arrow import to_arrow
from flowgauge.flow.batch import FlowBatch
from flowgauge.query.every_flow import count, every_flow
from flowgauge.schema.flow_query import FlowQuery

router = APIRouter(prefix="/api/v1", tags=["flows"])

COUNT_HEADER = "X-Flowgauge-Flows"


@router.get("/flows.arrow")
async def flows_arrow(
    services: Use,
    asked: Asked,
    columns: Annotated[str, Query(description="Columns, by commas; empty: all that are stored.")] = "",
) -> StreamingResponse:
    """Every flow, oldest first, as an Arrow IPC stream with the store's columns (times in ms, latencies in µs).

    The header X-Flowgauge-Flows tells how many there were at the beginning. An answer that breaks off is incomplete.
    """
    query = FlowQuery(
        window=asked.window, where=asked.where, columns=column_names(columns), duplicates=asked.duplicates
    )  # fmt: skip
    batches = every_flow(asked.store, query)
    flows = await services.ask(count, asked.store, query)
    first = await services.ask(next, batches)  # what is wrong with the question is said before the answer begins
    return StreamingResponse(
        _stream(services, first, batches),
        media_type="application/vnd.apache.arrow.stream",
        headers={COUNT_HEADER: str(flows), "Cache-Control": "no-store"},
    )


async def _stream(services: Services, first: FlowBatch, rest: Iterator[FlowBatch]) -> AsyncIterator[bytes]:
    """One piece a batch; the client's pace is ours."""
    sink = io.BytesIO()
    names = tuple(first)
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, to_arrow(first, names).schema, options=options) as writer:
        batch: FlowBatch | None = first
        while batch is not None:
            writer.write_batch(to_arrow(batch, names))
            yield _taken(sink)
            if services.stopping.is_set():
                raise EnvironmentProblem("the console stops")
            batch = await services.ask(next, rest, None)
    yield _taken(sink)


def _taken(sink: io.BytesIO) -> bytes:
    """What has been written since the last time."""
    written = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return written
