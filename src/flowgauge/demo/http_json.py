# SPDX-License-Identifier: Apache-2.0
"""Asks the parts' own HTTP interfaces, as any client would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

from flowgauge.errors import EnvironmentProblem

_TIMEOUT_S = 5.0


def get(url: str, **params: str) -> Any:
    """The JSON at ``url``; EnvironmentProblem when nobody answers or the answer is none."""
    asked = f"{url}?{urlencode(params)}" if params else url
    try:
        with urllib.request.urlopen(asked, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - our own parts on loopback
            return json.load(answer)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise EnvironmentProblem(f"{url} did not answer: {error}") from error
