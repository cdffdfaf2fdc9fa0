# SPDX-License-Identifier: Apache-2.0
"""Flows for an export, as batches with physical columns: all of a time range, or those that arrive."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from flowgauge.cli.api import Api, Params
from flowgauge.cli.live_flows import followed
from flowgauge.errors import EnvironmentProblem
from flowgauge.flow.arrow import from_arrow
from flowgauge.flow.batch import FlowBatch

COUNT_HEADER = "X-Flowgauge-Flows"


@contextmanager
def stored_batches(api: Api, params: Params) -> Iterator[tuple[int, Iterator[FlowBatch]]]:
    """(how many flows there are about to come, the flows, oldest first). Raises as ``Api.get``."""
    with api.stream("flows.arrow", params) as answer:
        yield int(answer.headers.get(COUNT_HEADER) or 0), _batches(answer, api.url)


def _batches(answer: http.client.HTTPResponse, url: str) -> Iterator[FlowBatch]:
    try:
        for batch in pa.ipc.open_stream(answer):
            yield from_arrow(batch)
    except (pa.ArrowException, OSError, http.client.HTTPException) as error:
        raise EnvironmentProblem(f"the answer of {url} broke off: not all flows were exported") from error


def live_batches(api: Api, params: Params) -> Iterator[tuple[FlowBatch, int]]:
    """(flows as they arrive, how many were left out before them). Ends only with an error; raises as ``Api.get``."""
    for event in followed(api, {**params, "format": "arrow"}):
        if "arrow" in event:
            for batch in pa.ipc.open_stream(base64.b64decode(event["arrow"])):
                yield from_arrow(batch), int(event.get("skipped") or 0)
