# SPDX-License-Identifier: Apache-2.0
"""A node of the scene: a network namespace with an uplink called eth0 and a block of pod addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field

_FIRST_POD = 2
"""Host number of the first pod; .1 is left to the bridge address that other container networks have there."""


@dataclass(slots=True)
class Node:
    """A node: its ``netns`` on the host, its ``address`` on the underlay, and the ``pod_block`` it gives out."""

    name: str
    zone: str
    netns: str
    address: str
    pod_block: str
    _free: Iterator[ipaddress.IPv4Address] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        hosts = ipaddress.IPv4Network(self.pod_block).hosts()
        self._free = (address for address in hosts if int(address) % 256 >= _FIRST_POD)

    def next_address(self) -> str:
        """A pod address that was never given out."""
        return str(next(self._free))
