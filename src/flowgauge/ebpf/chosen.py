# SPDX-License-Identifier: Apache-2.0
"""The addresses whose traffic is chosen or left out, in the kernel's map: only what differs is written, while packets pass.

Before: :mod:`flowgauge.agent.pod_choice`; after: ``programs/choice.h``. Not thread-safe: ``flow_program`` holds the lock.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

import numpy as np

from flowgauge.ebpf import abi, bpf_syscall
from flowgauge.ebpf.map_reader import MapReader

Bits = Mapping[bytes, int]
"""Address (16 bytes) → ``CHOICE_INCLUDE``, ``CHOICE_EXCLUDE`` (:mod:`flowgauge.ebpf.abi_settings`) or both."""


class ChosenAddresses:
    """The map behind ``map_fd``, empty at first."""

    def __init__(self, map_fd: int) -> None:
        self._fd = map_fd
        self._reader = MapReader(map_fd, abi.ADDRESS, np.dtype(np.uint32))
        self._present: dict[bytes, int] = {}

    def become(self, wanted: Bits) -> int:
        """Makes the map hold ``wanted``; how many addresses found no room in it."""
        gone = self._present.keys() - wanted.keys()
        if gone:
            self._reader.remove(np.frombuffer(b"".join(gone), abi.ADDRESS))
        self._present = {address: bits for address, bits in self._present.items() if address not in gone}
        without_room = 0
        for address, bits in wanted.items():
            if self._present.get(address) == bits:
                continue
            if self._put(address, bits):
                self._present[address] = bits
            else:
                without_room += 1
        return without_room

    def _put(self, address: bytes, bits: int) -> bool:
        key, value = np.frombuffer(address, np.uint8), np.array([bits], np.uint32)
        try:
            bpf_syscall.update(self._fd, key.ctypes.data, value.ctypes.data)
        except OSError as error:
            if error.errno in (errno.E2BIG, errno.ENOMEM):
                return False
            raise
        return True
