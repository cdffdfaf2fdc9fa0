# SPDX-License-Identifier: Apache-2.0
"""The last counters of a part that stops, in a file for whoever started it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flowgauge.runtime import logs


def write_report(part: str, path: Path | None, counted: Callable[[], Mapping[str, Any]]) -> None:
    """Writes what ``counted`` tells as JSON to ``path``, if there is one; a file that cannot be written is only logged."""
    if path is None:
        return
    try:
        path.write_text(json.dumps(counted(), indent=1), encoding="utf-8")
    except OSError as error:
        logs.get(part).warning("report_not_written", path=str(path), error=str(error))
