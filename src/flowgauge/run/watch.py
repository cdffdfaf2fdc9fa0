# SPDX-License-Identifier: Apache-2.0
"""Notices that a file was saved: editors write it anew, ConfigMaps swap a link, so content is what counts."""

from __future__ import annotations

import hashlib
from pathlib import Path


class WatchedFile:
    """Looks at a file whenever asked; None as path never changes."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, ...] = ()
        self._digest = b""
        self._settled = True
        self.changed()

    def changed(self) -> bool:
        """Whether the content differs from what it was at the last True (or at the start).

        A file that is just being written (its stamp differs from a moment ago) or is gone counts at the next look.
        """
        stamp = self._look()
        if stamp != self._stamp:
            first, self._stamp, self._settled = not self._digest, stamp, False
            if not first:
                return False
        if self._settled or not stamp or self._path is None:
            return False
        self._settled = True
        try:
            digest = hashlib.sha256(self._path.read_bytes()).digest()
        except OSError:
            return False
        before, self._digest = self._digest, digest
        return bool(before) and before != digest

    def _look(self) -> tuple[int, ...]:
        if self._path is None:
            return ()
        try:
            about = self._path.stat()
        except OSError:
            return ()
        return about.st_dev, about.st_ino, about.st_mtime_ns, about.st_size
