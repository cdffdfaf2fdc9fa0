# SPDX-License-Identifier: Apache-2.0
"""Asks the parts' own HTTP interfaces, as any client would."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

from flowgauge.errors import EnvironmentProblem

_TIMEOUT_S = 5.0


def get(url: str, **params: str) -> Any:
    """The JSON at ``url``; EnvironmentProblem when nobody answers or the answer is none."""
    try:
        return json.loads(content(url, **params))
    except ValueError as error:
        raise EnvironmentProblem(f"{url} did not answer: {error}") from error


def content(url: str, *, method: str = "GET", **params: str) -> bytes:
    """The whole answer of ``url``; EnvironmentProblem when nobody answers."""
    asked = f"{url}?{urlencode(params)}" if params else url
    try:
        request = urllib.request.Request(asked, method=method)  # noqa: S310 - our own parts on loopback
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            whole: bytes = answer.read()
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        raise EnvironmentProblem(f"{url} did not answer: {error}") from error
    return whole
