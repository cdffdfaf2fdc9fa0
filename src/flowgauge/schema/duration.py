# SPDX-License-Identifier: Apache-2.0
"""A length of time as people write it, in documents, options and the API alike: ``500ms``, ``5s``, ``15m``, ``12h``, ``7d``."""

from __future__ import annotations

import re

from flowgauge.errors import UsageError

PATTERN = r"^[0-9]{1,12}(ms|s|m|h|d|w)$"

_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"([0-9]{1,12})(ms|s|m|h|d|w)")


def milliseconds(text: str, option: str = "") -> int:
    """``15m`` → 900000; UsageError for anything else, which names the ``option`` that was given."""
    match = _DURATION.fullmatch(text)
    if match is None:
        where = f"{option} " if option else ""
        raise UsageError(f"{where}{text!r} is no duration; write a number and ms, s, m, h, d or w, for example 15m")
    return int(match[1]) * _UNIT_MS[match[2]]
