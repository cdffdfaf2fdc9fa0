# SPDX-License-Identifier: Apache-2.0
"""``HOST:PORT`` as options take it."""

from __future__ import annotations

from flowgauge.config import values
from flowgauge.errors import UsageError


def host_and_port(option: str, text: str) -> tuple[str, int | None]:
    """The host (may be empty) and port (None without one) of ``HOST:PORT``, ``[IPV6]:PORT``, ``PORT``, ``HOST`` or an IPv6.

    Raises:
        UsageError: a bracket is not closed, the host can be none, or the port is none.
    """
    host, port, given = text, "", False
    if text.isdecimal():
        host, port, given = "", text, True
    elif text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise UsageError(f"{option} {text}: write an IPv6 address with its port as [2001:db8::1]:2055")
        port, given = rest[1:], bool(rest)
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        given = True
    if given and not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise UsageError(f"{option} {text}: {port!r} is no port (0 to 65535)")
    try:
        values.host(host)
    except ValueError as error:
        raise UsageError(f"{option} {error}") from None
    return host, int(port) if given else None
