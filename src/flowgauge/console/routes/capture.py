# SPDX-License-Identifier: Apache-2.0
"""Packet heads as a capture file: of what comes, or of the past as far as agents keep it. Never payload.

Headers tell enough to disturb connections, so a console without a token gives them only to programs of the user who started it:
every user of the machine reaches its loopback address.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from flowgauge.console import capture
from flowgauge.console.question import MAX_FILTER_LENGTH
from flowgauge.console.services import Services, Use
from flowgauge.errors import UsageError
from flowgauge.runtime import local_peer
from flowgauge.schema import filters
from flowgauge.schema.duration import milliseconds

MAX_MS = 3_600_000
"""Longest capture, as the agents have it."""
MAX_BYTES, DEFAULT_BYTES = 100_000_000, 10_000_000
"""A browser keeps the file in memory until it is whole; ``flowgauge capture`` writes longer ones."""
_FROM_HERE = frozenset({"", "same-origin", "none"})


def _may(request: Request, services: Use) -> Services:
    """Refuses who may not have headers, and other sites' pages, which could begin captures though not read them."""
    if request.headers.get("sec-fetch-site", "") not in _FROM_HERE:
        raise HTTPException(403, "packets are captured from the console's own page only")
    if not services.settings.token and not _from_owner(request):
        raise HTTPException(403, "packets are for who started this console: open it as that user, or give it a --token-file")
    return services


def _from_owner(request: Request) -> bool:
    peer, own = request.client, request.scope.get("server")
    if peer is None or own is None or own[1] is None:
        return False
    return local_peer.user_of((peer.host, peer.port), own) in local_peer.owners()


Allowed = Annotated[Services, Depends(_may)]

router = APIRouter(prefix="/api/v1/capture", tags=["capture"])


def _wanted(
    services: Allowed,
    *,
    filter_text: Annotated[str, Query(alias="filter", max_length=MAX_FILTER_LENGTH, description="Filter; empty: all.")] = "",
    follow: Annotated[str, Query(alias="for", description="Capture what comes for so long: 30s.")] = "",
    past: Annotated[str, Query(description="And the last while, as far as agents keep it: 60s.")] = "",
    start_ms: Annotated[int, Query(alias="from", ge=0, description="The past from then on, ms since 1970.")] = 0,
    end_ms: Annotated[int, Query(alias="to", ge=0, description="And until then.")] = 0,
    max_bytes: Annotated[int, Query(ge=1000, le=MAX_BYTES, description="End before the file is longer.")] = DEFAULT_BYTES,
) -> capture.Wanted:
    """The question; UsageError when it asks for nothing, or too much."""
    filters.bound(filter_text)
    now_ms = services.now_ms
    follow_ms, past_ms = milliseconds(follow or "0s", "for"), milliseconds(past or "0s", "past")
    if past and (start_ms or end_ms):
        raise UsageError("past, or from and to: leave one out")
    if bool(start_ms) != bool(end_ms):
        raise UsageError("from and to go together")
    start_ms, end_ms = (start_ms, end_ms) if start_ms else (now_ms - past_ms, now_ms)
    if start_ms > end_ms:
        raise UsageError("the time range ends before it begins")
    if max(follow_ms, end_ms - start_ms) > MAX_MS:
        raise UsageError("a capture may be of one hour at most")
    if not follow_ms and start_ms == end_ms:
        raise UsageError("there is nothing to capture in 0 seconds: give for or past")
    return capture.Wanted(filter_text, start_ms, end_ms, follow_ms, max_bytes)


@router.get("")
async def packets(
    services: Allowed,
    wanted: Annotated[capture.Wanted, Depends(_wanted)],
    node: Annotated[list[str], Query(description="Only this node; repeatable.")] = [],  # noqa: B006 - FastAPI copies it
) -> StreamingResponse:
    """Headers of packets of all nodes, merged by time, as pcapng with names in comments.

    `X-Flowgauge-Missing` names nodes that take no part; why is in the file's comment.
    """
    found = await capture.begin(services, wanted, node)
    name = f"flowgauge-{datetime.fromtimestamp(services.now_ms / 1000).astimezone():%Y%m%d-%H%M%S}.pcapng"
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
    if found.missing:
        headers["X-Flowgauge-Missing"] = ", ".join(found.missing)
    return StreamingResponse(found.pieces(services.stopping), media_type="application/x-pcapng", headers=headers)


@router.get("/nodes")
async def nodes(services: Allowed) -> dict[str, Any]:
    """What each node keeps of the past, and which do not answer."""
    return {"nodes": await capture.standing(services)}


@router.post("/freeze")
async def freeze(
    services: Allowed, duration: Annotated[str, Query(alias="for", description="How long: 10m; 0s ends it.")] = "10m"
) -> dict[str, Any]:
    """Lets every node keep what it has, so that nothing of it is overwritten while somebody looks."""
    milliseconds(duration, "for")
    return {"nodes": await capture.freeze(services, duration)}
