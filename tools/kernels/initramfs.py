# SPDX-License-Identifier: Apache-2.0
"""Writes a cpio archive as Linux unpacks it for its first root file system (Documentation/driver-api/early-userspace, newc)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Self

_FOLDER, _FILE = 0o040755, 0o100000
_LOADER = Path("/lib64/ld-linux-x86-64.so.2")


class Archive:
    """An archive that is being written; folders above a file come by themselves."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made: set[Path] = {Path("/")}
        self._number = 0
        self._out: BinaryIO

    def __enter__(self) -> Self:
        self._out = self._path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._entry("TRAILER!!!", 0, b"")
        self._out.close()

    def folder(self, path: Path) -> None:
        """Makes a folder, and those above it."""
        if path not in self._made:
            self.folder(path.parent)
            self._made.add(path)
            self._entry(str(path)[1:], _FOLDER, b"")

    def file(self, path: Path, data: bytes, mode: int) -> None:
        """Puts a file there; the first of a name counts."""
        if path in self._made:
            return
        self.folder(path.parent)
        self._made.add(path)
        self._entry(str(path)[1:], _FILE | mode, data)

    def copy(self, path: Path) -> None:
        """Copies a file of this machine to the same place; a link becomes what it leads to."""
        self.file(path, path.read_bytes(), path.stat().st_mode & 0o777)

    def _entry(self, name: str, mode: int, data: bytes) -> None:
        self._number += 1
        raw = name.encode() + b"\0"
        fields = (self._number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        head = b"070701" + b"".join(b"%08x" % value for value in fields) + raw
        self._out.write(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))


def shared_libraries(binaries: Iterable[Path], by_name: Iterable[str]) -> set[Path]:
    """The shared libraries that programs and libraries need, as ldd finds them, and those that are opened ``by_name``."""
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    named = [re.search(rf"^\s*{re.escape(name)} .*=> (\S+)$", cache, re.MULTILINE) for name in by_name]
    opened = {Path(match[1]) for match in named if match}
    found = {_LOADER, *opened}
    for binary in {*binaries, *opened}:
        told = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout
        found |= {Path(path) for path in re.findall(r"=> (/\S+)", told)}
    return found
