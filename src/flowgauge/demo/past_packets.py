# SPDX-License-Identifier: Apache-2.0
"""Cuts a conversation from the packet heads that agents keep, as the page Packets does."""

from __future__ import annotations

import contextlib

from flowgauge.demo import http_json
from flowgauge.demo.acts.short_talk import Talk
from flowgauge.errors import EnvironmentProblem


def thaw(console_url: str) -> None:
    """Lets agents keep what comes again, where somebody let them keep what was there (``flowgauge capture --freeze``)."""
    with contextlib.suppress(EnvironmentProblem):  # the report says what is missing then
        http_json.content(f"{console_url}/api/v1/capture/freeze", method="POST", **{"for": "0s"})


def cut(console_url: str, talk: Talk) -> bytes:
    """The capture file (pcapng) of all nodes; empty when the console gives none."""
    chosen = f"addr = {talk.client.address} and port = {talk.port}"
    try:
        return http_json.content(
            f"{console_url}/api/v1/capture", **{"filter": chosen, "from": str(talk.start_ms), "to": str(talk.end_ms)}
        )
    except EnvironmentProblem:
        return b""
