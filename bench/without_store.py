# SPDX-License-Identifier: Apache-2.0
"""The command line with a store that takes everything and keeps nothing: what a collector uses by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from unittest import mock

from flowgauge.cli.main import main
from flowgauge.collector import main as collector_main
from flowgauge.flow.batch import FlowBatch


class NoStore:
    """Takes everything and keeps nothing."""

    def write(self, batch: FlowBatch, token: str) -> int:  # noqa: ARG002 - as a store's
        """All are taken."""
        return len(batch)

    def write_pieces(self, pieces: Iterable[FlowBatch], token: str) -> int:  # noqa: ARG002 - as a store's
        """All are taken."""
        return sum(map(len, pieces))

    def __getattr__(self, name: str) -> Callable[..., list[Any]]:
        return lambda *_, **__: []


if __name__ == "__main__":
    with mock.patch.object(collector_main, "open_store", return_value=NoStore()):
        main()
