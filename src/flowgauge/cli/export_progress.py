# SPDX-License-Identifier: Apache-2.0
"""A progress bar on standard error while flows are exported, where somebody sees it."""

from __future__ import annotations

import sys
from typing import Any, Self


class Progress:
    """How many of about ``total`` flows are sent; a bar between enter and exit."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and self._total:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

            self._bar = Progress(
                BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True
            )
            self._bar.add_task("flows", total=self._total)
            self._bar.start()
        return self

    def at(self, flows: int) -> None:
        """Shows how far it is."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=flows, total=max(self._total, flows))

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
