# SPDX-License-Identifier: Apache-2.0
"""Words for numbers that several sources send: TCP states as Linux promises them, DNS response codes as IANA registers them."""

from __future__ import annotations

TCP_STATES = (
    "", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK",
    "LISTEN", "CLOSING", "NEW_SYN_RECV", "BOUND_INACTIVE",
)  # fmt: skip
"""By the number that Linux promises user space (linux/tcp_states.h)."""

_RCODES = (
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE",
    "DSOTYPENI",
)  # fmt: skip
_RCODE_BITS = 0x000F


def tcp_state(number: int) -> str:
    """``ESTABLISHED``, ``SYN_SENT`` …; a number that is new to us stays one."""
    return TCP_STATES[number] if number < len(TCP_STATES) else str(number)


def dns_rcode(flags: int) -> str:
    """``NOERROR``, ``NXDOMAIN`` …: the response code in a DNS header's flags (IANA's registry of DNS parameters)."""
    number = flags & _RCODE_BITS
    return _RCODES[number] if number < len(_RCODES) else f"RCODE{number}"
