# SPDX-License-Identifier: Apache-2.0
"""Decoders as the document wants them: with its elements, and inner or outer packets of tunnels."""

from __future__ import annotations

from pathlib import Path

from flowgauge.collector.settings import CollectorSettings
from flowgauge.config.model import Collector
from flowgauge.errors import UsageError
from flowgauge.runtime import logs
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.element_files import elements_from
from flowgauge.wire.elements import Element, Elements

INNER = "inner"

_log = logs.get("collector")


class Decoders:
    """Makes decoders for datagrams, and for each session; all of them share the elements of users, which may change.

    Raises:
        UsageError, ConfigError: see ``elements_in``.
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


def added_elements(collector: Collector) -> tuple[Element, ...]:
    """What the files of ``spec.collector.elements`` say now. Raises as ``elements_in``."""
    return tuple(element for file in collector.elements for element in elements_in(Path(file), "spec.collector.elements"))


def elements_in(file: Path, named_by: str) -> tuple[Element, ...]:
    """The elements in a file of the user's.

    Raises:
        UsageError: it cannot be read; ``named_by`` is the option or setting that names it.
        ConfigError: with every problem in it, by file and line.
    """
    try:
        return elements_from(file.read_text(encoding="utf-8"), str(file))
    except UnicodeDecodeError:
        raise UsageError(f"{named_by} {file}: the file is no text") from None
    except OSError as error:
        raise UsageError(f"{named_by} {file}: {error.strerror}") from error
