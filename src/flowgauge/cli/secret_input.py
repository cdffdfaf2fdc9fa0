# SPDX-License-Identifier: Apache-2.0
"""Secrets that options name: in a file, or behind a descriptor that the caller opened; never on the command line itself."""

from __future__ import annotations

from pathlib import Path

from flowgauge.errors import UsageError
from flowgauge.store.secret import from_descriptor


def in_file(option: str, file: Path) -> str:
    """The content of ``file`` without white space around; UsageError when there is none."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(f"{option} {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{option} {file}: the file is no text") from None
    if not text:
        raise UsageError(f"{option} {file}: the file is empty")
    return text


def behind(option: str, descriptor: int) -> str:
    """What can be read from ``descriptor``; UsageError when that is nothing."""
    try:
        return from_descriptor(descriptor)
    except (OSError, ValueError) as error:
        raise UsageError(f"{option} {descriptor}: no secret can be read from it ({error})") from error
