# SPDX-License-Identifier: Apache-2.0
"""Decoders as the document wants them: with its elements, and inner or outer packets of tunnels."""

from __future__ import annotations

from flowgauge.collector.added_elements import added_elements
from flowgauge.collector.settings import CollectorSettings
from flowgauge.errors import UsageError
from flowgauge.runtime import logs
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.elements import Elements

INNER = "inner"

_log = logs.get("collector")


class Decoders:
    """Makes decoders for datagrams, and for each session; all of them share the elements of users, which may change.

    Raises:
        UsageError, ConfigError: see ``added_elements``.
    """

    def __init__(self, settings: CollectorSettings) -> None:
        self._elements = Elements(settings.pen, added_elements(settings.collector))
        self._inner = settings.collector.tunnels == INNER

    def __call__(self) -> Decoder:
        """One decoder."""
        return Decoder(elements=self._elements, inner=self._inner)

    def apply(self, settings: CollectorSettings) -> None:
        """Reads the files of elements again, for every decoder that was made; a wrong one is named, and all stays."""
        try:
            self._elements.replace_added(added_elements(settings.collector))
        except UsageError as error:
            _log.error("elements_not_applied", error=str(error), detail="the elements of before stay")
