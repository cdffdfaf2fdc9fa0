# SPDX-License-Identifier: Apache-2.0
"""Work in a thread of its own, from ``start`` until it is done or ``stop`` is called."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod


class Worker(ABC):
    """Runs ``_run`` in thread ``name``; that ends early when ``_stopping`` is set."""

    def __init__(self, name: str) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it and returns when what is under way is done; safe to call twice, and without a start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    @abstractmethod
    def _run(self) -> None: ...
