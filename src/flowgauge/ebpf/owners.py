# SPDX-License-Identifier: Apache-2.0
"""The table of who uses which TCP connection, as the agent reads it: all of it at each export, since it changes rarely."""

from __future__ import annotations

import numpy as np

from flowgauge.ebpf import abi
from flowgauge.ebpf.map_reader import Entries, MapReader


class Owners:
    """The map ``owners`` behind ``map_fd``: ``abi.FLOW_KEY`` of what a socket sends, ``abi.OWNER``."""

    def __init__(self, map_fd: int) -> None:
        self._reader = MapReader(map_fd, abi.FLOW_KEY, abi.OWNER)
        self._ended = Entries(np.empty(0, abi.FLOW_KEY), np.empty(0, abi.OWNER))

    def take(self) -> Entries:
        """Every connection's owner; those of connections that have ended are told twice, since packets follow, and removed."""
        before, found = self._ended, self._reader.read()
        self._ended = found.take(found.values["ended"] != 0)
        self._reader.remove(self._ended.keys)
        # The present owner comes last: who looks a connection up takes the last one.
        return Entries(np.concatenate([before.keys, found.keys]), np.concatenate([before.values, found.values]))
