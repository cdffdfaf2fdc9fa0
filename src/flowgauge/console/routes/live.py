# SPDX-License-Identifier: Apache-2.0
"""Flows as they arrive: the collector's server-sent events, passed on byte by byte. Neighbour: ``collector``'s live tap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import aiohttp
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from flowgauge.console.question import MAX_FILTER_LENGTH, column_names
from flowgauge.console.services import Services, Use, why
from flowgauge.errors import EnvironmentProblem
from flowgauge.schema import filters

router = APIRouter(prefix="/api/v1", tags=["live"])


@router.get("/live")
async def live(
    services: Use,
    filter_text: Annotated[str, Query(alias="filter", max_length=MAX_FILTER_LENGTH, description="Filter; empty: all.")] = "",
    columns: Annotated[str, Query(description="Columns, by commas; empty: all that are stored.")] = "",
    *,
    duplicates: Annotated[bool, Query(description="Also send other observations of the same packets.")] = False,
    how: Annotated[Literal["json", "arrow"], Query(alias="format", description="arrow: columns, all flows.")] = "json",
) -> StreamingResponse:
    """One event a batch: {columns, rows, matched, skipped}. The stream ends when the collector does; connect again then.

    With format=arrow an event has `arrow` in place of `rows`: an Arrow IPC stream in base64, with the store's columns.
    """
    filters.bound(filter_text)
    column_names(columns)
    if not services.settings.collector_url:
        raise EnvironmentProblem("nothing is live: this console was started without a collector (--collector-url)")
    asked = {"filter": filter_text, "columns": columns, "duplicates": "true" if duplicates else "", "format": how}
    upstream = await _open(services, asked)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_pass_on(services, upstream), media_type="text/event-stream", headers=headers)


async def _open(services: Services, params: dict[str, str]) -> aiohttp.ClientResponse:
    url = f"{services.settings.collector_url}/api/v1/live"
    try:
        upstream = await services.client().get(url, params={name: value for name, value in params.items() if value})
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise EnvironmentProblem(f"the collector does not answer: {why(error)}") from error
    if upstream.status != 200:
        text = (await upstream.text())[:300]
        upstream.close()
        raise EnvironmentProblem(f"the collector refused the live stream ({upstream.status}): {text}")
    return upstream


async def _pass_on(services: Services, upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """A first comment tells the browser that the stream is open; the end of either side ends both."""
    stopping = asyncio.ensure_future(services.stopping.wait())
    try:
        yield b": open\n\n"
        while piece := await _next(upstream, stopping):
            yield piece
    except (aiohttp.ClientError, TimeoutError, OSError):
        yield b"event: end\ndata: {}\n\n"
    finally:
        stopping.cancel()
        upstream.close()


async def _next(upstream: aiohttp.ClientResponse, stopping: asyncio.Future[Any]) -> bytes:
    """The next bytes; none when the collector ended the stream or this server stops."""
    reading = asyncio.ensure_future(upstream.content.readany())
    try:
        await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return reading.result() if reading.done() else b""
    finally:
        reading.cancel()
