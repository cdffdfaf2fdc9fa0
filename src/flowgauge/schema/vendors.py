# SPDX-License-Identifier: Apache-2.0
"""Number spaces of information elements beside IANA's: private enterprises, and what NetFlow v9 has instead of them.

The elements themselves are in ``vendor_elements.csv``, in the format in which users add their own (``wire.element_files``).
"""

from __future__ import annotations

REVERSE = 29305
"""RFC 5103 §6.1: the IANA element of the same number, of a biflow's reverse direction."""
CISCO = 9
NTOP = 35632
JUNIPER = 2636
NETOBSERV = 4294967294
"""Stands for the enterprise number under which NetObserv exports its elements: its configuration says which."""
LAST_PEN = (1 << 32) - 1

V9_SCOPE = 1 << 32
"""Stands for an enterprise number: scope fields of NetFlow v9 options templates (RFC 3954 §6.1)."""
V9_SCOPES: dict[int, tuple[str, str]] = {
    1: ("scopeSystem", "unsigned32"),
    2: ("scopeInterface", "unsigned32"),
    3: ("scopeLineCard", "unsigned32"),
    4: ("scopeCache", "unsigned32"),
    5: ("scopeTemplate", "unsigned32"),
}
CISCO_V9_BASE = 32768
"""Cisco's devices send Cisco's elements in NetFlow v9, which has no enterprises, under their number plus this."""
NTOP_V9_BASE = 57472
"""nProbe sends ntop's elements in NetFlow v9 under their number plus this."""
