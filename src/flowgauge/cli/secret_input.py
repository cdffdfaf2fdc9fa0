# SPDX-License-Identifier: Apache-2.0
"""Secrets that options name: in a file, or behind a descriptor that the caller opened; never on the command line itself."""

from __future__ import annotations

from pathlib import Path

from flowgauge.errors import UsageError
from flowgauge.store.secret import from_descriptor

MAX_BYTES = 4096
"""Of a file: whoever names a disk or a device by mistake is told so instead of waiting."""


def in_file(option: str, file: Path) -> str:
    """The content of ``file`` without white space around; UsageError when there is none."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UsageError(f"{option} {file}: the file is longer than {MAX_BYTES} bytes, which no token is")
        text = content.decode().strip()
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
