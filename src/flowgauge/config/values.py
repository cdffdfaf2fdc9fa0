# SPDX-License-Identifier: Apache-2.0
"""Checks of single values in the document; each raises ValueError with the end of a sentence about the field."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from flowgauge.schema.columns import BY_NAME
from flowgauge.schema.duration import milliseconds
from flowgauge.schema.well_known import PROTOCOL_NUMBERS

TCP, ICMP = 6, (1, 58)
LAST_PORT, LAST_PROTOCOL, LAST_ICMP = (BY_NAME[name].bounds[1] for name in ("dst_port", "proto", "icmp_type"))
TCP_FLAGS = {name: 1 << bit for bit, name in enumerate(("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS"))}
"""Name → bit in the header (RFC 9293 §3.1; NS of RFC 3540)."""


def seconds(duration: str) -> float:
    """Seconds of a duration such as 5s or 7d; UsageError when it is none."""
    return milliseconds(duration) / 1000


def duration_text(value: Any) -> Any:
    """Refuses what is no text: a number without a unit says nothing."""
    if not isinstance(value, str):
        raise ValueError(f"must be a duration such as 500ms, 5s, 15m, 12h or 7d, not {value!r}")  # noqa: TRY004 - pydantic's
    return value


def between(least: str, most: str) -> Callable[[str], str]:
    """A check that a duration lies within two others."""

    def check(value: str) -> str:
        if not seconds(least) <= seconds(value) <= seconds(most):
            raise ValueError(f"must be between {least} and {most}, not {value}")
        return value

    return check


def interface_pattern(text: str) -> str:
    """Refuses an empty name and a regular expression (between slashes) that is none."""
    if not text:
        raise ValueError("must be the name of an interface, or a regular expression between slashes; it is empty")
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        try:
            re.compile(text[1:-1])
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from error
    return text


def cidr(text: str) -> str:
    """Refuses what is no address block; host bits that are set are a likely mistake."""
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"must be an address block such as 203.0.113.0/24 or 2001:db8::/32: {error}") from error
    return text


def host(text: str) -> str:
    """Refuses what is no name that can be looked up (RFC 1035 §2.3.4: 1 to 63 characters between dots), and no address."""
    try:
        text.encode("idna")
    except UnicodeError:
        raise ValueError(f"must be a host's name, of 1 to 63 characters between dots, or an address; not {text!r}") from None
    if "\0" in text or (":" in text and not is_address(text)):
        raise ValueError(f"must be a host's name or address, not {text!r}")
    return text


def is_address(text: str) -> bool:
    """Whether a host is an address, of IPv6 in brackets or not, and no name."""
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def host_port(text: str) -> str:
    """Refuses what is no HOST:PORT; an IPv6 address stands in brackets."""
    name, colon, port = text.rpartition(":")
    if not (name and colon and port.isascii() and port.isdigit() and 0 < int(port) <= LAST_PORT):
        raise ValueError(f"must be HOST:PORT, as collector-b:2055 or [2001:db8::1]:2055, not {text!r}")
    if ":" in name.strip("[]") and not (name.startswith("[") and name.endswith("]")):
        raise ValueError(f"must have its IPv6 address in brackets, as [2001:db8::1]:2055, not {text!r}")
    host(name.strip("[]"))
    return text


def off_word(value: Any) -> Any:
    """YAML 1.1 tools (kubectl among them) turn the word Off into false."""
    return "Off" if value is False else value


def protocol(value: Any) -> Any:
    """The IANA number of a protocol's name; numbers stay."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, str):
        number = PROTOCOL_NUMBERS.get(value.lower())
        if number is None:
            raise _no_protocol(value)
        return number
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_PROTOCOL:
        return value
    raise _no_protocol(value)


def _no_protocol(value: object) -> ValueError:
    return ValueError(f"must be a protocol such as TCP, UDP, ICMP, ICMPv6 or its number, 0 to {LAST_PROTOCOL}, not {value!r}")


def port_range(value: Any) -> str:
    """A port or range of ports as text; refuses 0, which stands for no port."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str):
        first, dash, last = text.partition("-")
        ends = [first, last if dash else first]
        if all(end.isdecimal() and 1 <= int(end) <= LAST_PORT for end in ends) and int(ends[0]) <= int(ends[1]):
            return text
    raise ValueError(f"must be a port or a range of ports, 1 to {LAST_PORT}, such as 5432 or 8000-8100, not {value!r}")


def tcp_flag(text: str) -> str:
    """The name of a TCP flag, perhaps with ! before it."""
    if text.removeprefix("!").upper() not in TCP_FLAGS:
        raise ValueError(f"must be one of {', '.join(TCP_FLAGS)}, perhaps with ! before it, not {text!r}")
    return text.upper()
