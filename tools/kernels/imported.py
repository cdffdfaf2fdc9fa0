# SPDX-License-Identifier: Apache-2.0
"""Prints the files that a program needs when it runs: those of the modules that it imports, and the whole standard library."""

from __future__ import annotations

import importlib
import runpy
import sys
import sysconfig
from pathlib import Path

NOT_NEEDED = {
    "test",
    "idlelib",
    "tkinter",
    "ensurepip",
    "turtledemo",
    "lib2to3",
    "__pycache__",
    "site-packages",
    "dist-packages",
}

LATER = ("flowgauge.agent.quic_initial",)
"""What is imported only when it is used."""


def main() -> None:
    """Imports the program named by the first argument, without running it."""
    runpy.run_path(sys.argv[1], run_name="imported")
    for name in LATER:
        importlib.import_module(name)
    files = {Path(file).resolve() for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    # What numpy imports only when it is used, and the libraries that it brings along.
    numpy = Path(str(sys.modules["numpy"].__file__)).resolve().parent
    files |= _all(numpy) | _all(numpy.with_name("numpy.libs"))
    files |= _all(Path(sysconfig.get_path("stdlib")))
    print("\n".join(sorted(str(path) for path in files)))


def _all(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and not NOT_NEEDED & {*path.relative_to(folder).parts}}


if __name__ == "__main__":
    main()
