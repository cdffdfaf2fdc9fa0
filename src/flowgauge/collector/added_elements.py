# SPDX-License-Identifier: Apache-2.0
"""The files of information elements that a document or an option names, read.

Imports no numpy, since ``config check`` reads them, too. After: :mod:`flowgauge.collector.decoders`.
"""

from __future__ import annotations

from pathlib import Path

from flowgauge.config.model import Collector
from flowgauge.errors import UsageError
from flowgauge.wire.element_files import elements_from
from flowgauge.wire.elements import Element


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
