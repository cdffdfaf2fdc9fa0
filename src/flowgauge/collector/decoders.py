# SPDX-License-Identifier: Apache-2.0
"""Decoders as the document wants them: with its elements, and inner or outer packets of tunnels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flowgauge.collector.settings import CollectorSettings
from flowgauge.errors import UsageError
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.element_files import elements_from
from flowgauge.wire.elements import Element

INNER = "inner"


def decoder_maker(settings: CollectorSettings) -> Callable[[], Decoder]:
    """Makes decoders for datagrams, and for each session; files of elements are read now.

    Raises:
        UsageError, ConfigError: see ``elements_in``.
    """
    wanted = settings.collector
    added = tuple(element for file in wanted.elements for element in elements_in(Path(file), "spec.collector.elements"))
    return lambda: Decoder(settings.pen, added=added, inner=wanted.tunnels == INNER)


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
