# SPDX-License-Identifier: Apache-2.0
"""Messages that were given up: counted in the ledger, and logged as often as anybody wants to read it."""

from __future__ import annotations

from flowgauge.export.messages import Message
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger

_log = logs.get("agent")


class NotSent:
    """Counts records as ``export_records_failed``."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._limit = logs.RateLimit()

    def count(self, message: Message, cause: str) -> None:
        """A message that will not be sent; one of templates alone holds no records and is none of the losses."""
        if not message.records:
            return
        self._ledger.add("export_records_failed", message.records)
        allowed, held_back = self._limit.allow(cause)
        if allowed:
            _log.warning("export_failed", cause=cause, records=message.records, held_back=held_back)
