# SPDX-License-Identifier: Apache-2.0
"""The rule of ``schema.roles`` for columns of flows that have ports; a test holds both together. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.flow.addresses import AddressColumn
from flowgauge.schema.roles import WELL_KNOWN

Mask = npt.NDArray[np.bool_]
Ports = npt.NDArray[np.integer[Any]]

_WELL_KNOWN = np.zeros(1 << 16, np.bool_)
_WELL_KNOWN[sorted(WELL_KNOWN)] = True


def to_server(src: tuple[AddressColumn, Ports, Mask], dst: tuple[AddressColumn, Ports, Mask]) -> Mask:
    """Which flows go to the server; of each end the address (n, 16), the port, not 0, and whether it has a Service (n,)."""
    (src_addr, src_port, src_serves), (dst_addr, dst_port, dst_serves) = src, dst
    src_known, dst_known = _WELL_KNOWN[src_port], _WELL_KNOWN[dst_port]
    return np.select(
        [src_serves != dst_serves, src_known != dst_known, src_port != dst_port],
        [dst_serves, dst_known, dst_port < src_port],
        ~_is_less(dst_addr, src_addr),
    )


def _is_less(one: AddressColumn, other: AddressColumn) -> Mask:
    (high, low), (other_high, other_low) = (np.ascontiguousarray(column).view(">u8").T for column in (one, other))
    return np.asarray((high < other_high) | ((high == other_high) & (low < other_low)), np.bool_)
