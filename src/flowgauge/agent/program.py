# SPDX-License-Identifier: Apache-2.0
"""What counts packets for the agent: the eBPF program, or, where this machine does not let us load one, a packet socket.

Both give flows as ``abi.FLOW_KEY`` and ``abi.FLOW_VALUE``, so that everything after them is the same.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from flowgauge.agent.interfaces import Attachment
from flowgauge.ebpf.chosen import Bits
from flowgauge.ebpf.cost import RunTime
from flowgauge.ebpf.flow_program import NotIp
from flowgauge.ebpf.map_reader import Entries
from flowgauge.ebpf.tables import Evicted
from flowgauge.ebpf.ticks import Ticks


class Program(Protocol):
    """What ``FlowProgram`` and ``CaptureProgram`` have in common; the former says what each method does."""

    def load(self) -> None: ...  # noqa: D102

    def attach(self, ifindex: int, *, quick: bool = False) -> Attachment: ...  # noqa: D102

    def settle(self, ifindex: int, attachment: object) -> Attachment: ...  # noqa: D102

    def load_signals(self) -> None: ...  # noqa: D102

    def attach_signals(self) -> None: ...  # noqa: D102

    def detach_signals(self) -> None: ...  # noqa: D102

    def take_over(self, ifindex: int, attachment: object) -> None: ...  # noqa: D102

    def let_go(self) -> None: ...  # noqa: D102

    def choose(self, addresses: Bits) -> int: ...  # noqa: D102

    def rates(self, rules: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]: ...  # noqa: D102

    def evict(self) -> Evicted: ...  # noqa: D102

    def ticks(self) -> Ticks: ...  # noqa: D102

    def known_translations(self) -> Entries: ...  # noqa: D102

    def counters(self) -> dict[str, int]: ...  # noqa: D102

    def not_ip(self) -> dict[int, NotIp]: ...  # noqa: D102

    def features(self) -> dict[str, str]: ...  # noqa: D102

    def outdated(self) -> bool: ...  # noqa: D102

    def map_bytes(self) -> dict[str, int]: ...  # noqa: D102

    def run_times(self) -> dict[str, RunTime]: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102
