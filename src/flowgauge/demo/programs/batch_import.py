# SPDX-License-Identifier: Apache-2.0
"""A pod that takes over the address of another: it looks up names, again and again.

Standard library only, run by path: ``batch_import.py NAME…``. Uses the pod's resolver.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading

EVERY_S = 0.7


def main() -> None:
    """Looks up each name in turn until told to stop."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.is_set():
        for name in sys.argv[1:]:
            with contextlib.suppress(OSError):
                socket.getaddrinfo(name, None, socket.AF_INET)
        stop.wait(EVERY_S)


if __name__ == "__main__":
    main()
