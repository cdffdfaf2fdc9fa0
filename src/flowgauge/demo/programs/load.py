# SPDX-License-Identifier: Apache-2.0
"""The outside client: reads the page, adds and deletes entries, asks for the slow report; a burst every 20 s.

Standard library only, run by path: ``load.py ADDRESS PORT HOST_HEADER SOURCE``. Ends on SIGTERM after the request in hand.
"""

from __future__ import annotations

import http.client
import random
import re
import signal
import sys
import threading
import time
from urllib.parse import urlencode

PAUSE_S = 0.35
"""About three requests a second."""
BURST_EVERY_S = 20.0
FIRST_BURST_S = 6.0
"""The first burst comes early, so that a short run has one too."""
BURST_REQUESTS = 40
BURST_PAUSE_S = 0.02

TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="([^"]+)"')
ENTRY = re.compile(rb'action="(/delete/\d+)"')


class Client:
    """One visitor, a new connection for each request as a command-line client makes them."""

    def __init__(self, address: str, port: int, host: str, source: str) -> None:
        self.address, self.port, self.host, self.source = address, port, host, source
        self.cookie = ""

    def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> bytes:
        """The body of the answer; empty when there was none."""
        headers = {"Host": self.host, "Connection": "close", **({"Cookie": self.cookie} if self.cookie else {})}
        body = urlencode(form) if form else None
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection(self.address, self.port, timeout=5, source_address=(self.source, 0))
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            if cookie := answer.getheader("Set-Cookie"):
                self.cookie = cookie.partition(";")[0]
            return answer.read()
        except (OSError, http.client.HTTPException):
            return b""
        finally:
            connection.close()

    def visit(self, number: int) -> None:
        """One visit: mostly a look; sometimes a change; now and then the slow report."""
        if number % 12 == 11:
            self.ask("GET", "/slow")
            return
        page = self.ask("GET", "/")
        token = TOKEN.search(page)
        if token is None or number % 3:
            return
        form = {"csrfmiddlewaretoken": token[1].decode()}
        entries = ENTRY.findall(page)
        if len(entries) > 8 and number % 2:
            self.ask("POST", random.choice(entries).decode(), form)  # noqa: S311 - no secret is made of it
        else:
            self.ask("POST", "/add", {**form, "text": f"Order {number}"})


def main() -> None:
    """Visits until told to stop."""
    address, port, host, source = sys.argv[1:]
    client = Client(address, int(port), host, source)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    next_burst = time.monotonic() + FIRST_BURST_S
    number = 0
    while not stop.is_set():
        if time.monotonic() >= next_burst:
            next_burst += BURST_EVERY_S
            for _ in range(BURST_REQUESTS):
                client.ask("GET", "/")
                if stop.wait(BURST_PAUSE_S):
                    return
        client.visit(number)
        number += 1
        stop.wait(PAUSE_S)


if __name__ == "__main__":
    main()
