# SPDX-License-Identifier: Apache-2.0
"""The sidecar of a web pod: asks the application beside it for its health over the pod's own loopback, again and again.

Standard library only, run by path: ``sidecar.py PORT``. Its packets never leave the pod.
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
    while not stop.wait(EVERY_S):
        connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=1)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/health")
            connection.getresponse().read()


if __name__ == "__main__":
    main()
