# SPDX-License-Identifier: Apache-2.0
"""Before its last acts the demo lets agents keep what comes, also where a user has just let them keep what was there."""

from __future__ import annotations

import http.server
import threading

from flowgauge.demo import past_packets


def test_the_console_is_asked_to_let_go_and_its_absence_ends_nothing() -> None:
    asked: list[str] = []

    class Console(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Console) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        past_packets.thaw(url)
        server.shutdown()
        thread.join()
    assert asked == ["/api/v1/capture/freeze?for=0s"]
    past_packets.thaw(url)
