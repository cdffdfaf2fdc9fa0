# SPDX-License-Identifier: Apache-2.0
"""Two questions asked over and over from threads: is there a named flow yet, and is the user's click one already?

Both ask the console's API, which is what ``flowgauge flows`` asks.
"""

from __future__ import annotations

import contextlib
import http.client
import time
from typing import Any

from flowgauge.demo import http_json
from flowgauge.demo.entrance import Entrance
from flowgauge.demo.flow_demo import ROUTE_HOST, SPACE, WEB
from flowgauge.demo.scene import addresses
from flowgauge.demo.worker import Worker
from flowgauge.errors import EnvironmentProblem
from flowgauge.run.part import LOOPBACK
from flowgauge.runtime.clock import now_ns

_POLL_S = 0.2
_GIVE_UP_AFTER_S = 30.0
NAMED = f"src_namespace = {SPACE} and dst_namespace = {SPACE}"
CLICKED = f"src_addr = {addresses.YOU} and dst_owner = {WEB}"


class FirstFlow(Worker):
    """Waits for the first flow with names at both ends.

    Args:
        console_url: where to ask; nobody needs to answer there yet.
        started: monotonic time from which seconds are counted.
    """

    def __init__(self, console_url: str, started: float) -> None:
        self._url, self._started = console_url, started
        self.after_s: float | None = None
        self.row: dict[str, Any] = {}
        super().__init__("first-flow")

    def _run(self) -> None:
        while self.after_s is None and not self._stopping.wait(_POLL_S):
            if rows := _newest(self._url, NAMED, 1):
                self.after_s, self.row = time.monotonic() - self._started, rows[0]


class Click(Worker):
    """Clicks once as the user would, through the port on loopback, and waits for a flow: ``after_s`` is None until then.

    Args:
        console_url, entrance: where to ask and where to click.
        exact: True waits for this very click, and ``after_s`` is since the click. With sampling a click may leave no flow:
            False waits for any flow of the application, and ``after_s`` is since that flow's last packet.
    """

    def __init__(self, console_url: str, entrance: Entrance, *, exact: bool) -> None:
        self._url, self._entrance, self._exact = console_url, entrance, exact
        self.after_s: float | None = None
        super().__init__("click")

    def _run(self) -> None:
        clicked_ns = now_ns()
        self._click()
        deadline = time.monotonic() + _GIVE_UP_AFTER_S
        while self.after_s is None and time.monotonic() < deadline and not self._stopping.wait(_POLL_S):
            for row in _newest(self._url, CLICKED if self._exact else NAMED, 1):
                if row["time_end_ns"] >= clicked_ns:
                    self.after_s = (now_ns() - (clicked_ns if self._exact else row["time_end_ns"])) / 1e9

    def _click(self) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, self._entrance.port, timeout=10)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/", headers={"Host": ROUTE_HOST, "Connection": "close"})
            connection.getresponse().read()


def _newest(url: str, filter_text: str, limit: int) -> list[dict[str, Any]]:
    """The newest flows that pass; none when the console does not answer (yet)."""
    try:
        answer = http_json.get(f"{url}/api/v1/flows", filter=filter_text, since="5m", limit=str(limit))
    except EnvironmentProblem:
        return []
    rows: list[dict[str, Any]] = answer["rows"]
    return rows
