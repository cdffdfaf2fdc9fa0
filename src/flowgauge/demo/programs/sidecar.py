# SPDX-License-Identifier: Apache-2.0
"""The sidecar of a web pod: asks the application beside it for its health over the pod's own loopback, again and again.

Standard library only, run by path: ``sidecar.py PORT``. Its packets never leave the pod. When told to end it prints how many
connections it opened, those that were refused because the application did not listen yet included.
"""

from __future__ import annotations

import contextlib
import http.client
import signal
import sys
import threading

EVERY_S = 2.0


def main() -> None:
    """Asks until told to stop."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    opened = 0
    while not stop.wait(EVERY_S):
        opened += 1
        with contextlib.suppress(OSError):
            _ask(int(sys.argv[1]))
    print(f"sidecar: {opened} connections", flush=True)  # noqa: T201 - the demo's report reads it


def _ask(port: int) -> None:
    """One question; OSError when it could not be asked, what goes wrong with the answer is the application's."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    with contextlib.closing(connection):
        connection.connect()
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/health")
            connection.getresponse().read()


if __name__ == "__main__":
    main()
