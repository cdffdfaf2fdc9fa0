# SPDX-License-Identifier: Apache-2.0
"""What sockets told of their connections against what the kernels of the pods counted: opened, accepted, failed.

The kernel counts those over a pod's own loopback, too; the sidecars, which are alone in using it, say how many these were.
Another demo on this machine has sockets with the same addresses: of an event without a flow of the same connection we know that
it is not ours. On loopback there are no flows, and agents go by network namespaces, which no other demo has.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from flowgauge.demo.report.score import Score, judged, scored
from flowgauge.demo.report.tenants import Mask, is_address
from flowgauge.demo.scene.counters import Connections
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.enums import INITIATOR, SOCKET_EVENT, code

OPENED = "connections opened by pods"
ACCEPTED = "connections accepted by pods"
FAILED = "connections of pods that failed"
WITHIN = "connections within a pod, over its loopback"
_OFF = 2.0
_TCP = 6
_LOOPBACK = "127.0.0.1"
_CONNECTED, _FAILED, _TAKEN = (code(SOCKET_EVENT, word) for word in ("connected", "failed", "accepted"))
_BY_SOURCE = code(INITIATOR, "src")

_Keys = npt.NDArray[np.void]
"""Address and port of the client, port of the server: shape (n,), 20 bytes each."""


@dataclass(slots=True)
class SocketEvents:
    """Reads batches; ``scores`` afterwards.

    Attributes:
        pods: addresses of all pods that there were.
        counted: by their kernels.
        within: how many of these were opened over a pod's loopback.
    """

    pods: Collection[str]
    counted: Connections
    within: int
    _events: dict[int, list[bytes]] = field(default_factory=lambda: {_CONNECTED: [], _FAILED: [], _TAKEN: []})
    _flows: set[bytes] = field(default_factory=set)
    _within: dict[int, int] = field(default_factory=lambda: {_CONNECTED: 0, _FAILED: 0, _TAKEN: 0})

    def add(self, batch: FlowBatch) -> None:
        """Takes events of the pods' sockets, and which connections have flows."""
        flows = batch.take((batch.array("proto") == _TCP) & (batch.array("packets") > 0))
        for client, server in (("src", "dst"), ("dst", "src")):
            self._flows.update(_keys(flows, client, server).tolist())
        kind = batch.array("socket_event")
        within = is_address(batch.array("src_addr"), _LOOPBACK)
        mine, opens = self._of_pods(batch), batch.array("initiator") == _BY_SOURCE
        for wanted, mask, ends in (
            (_CONNECTED, opens, ("src", "dst")), (_FAILED, opens, ("src", "dst")), (_TAKEN, ~opens, ("dst", "src")),
        ):  # fmt: skip
            self._events[wanted] += _keys(batch.take(mine & mask & (kind == wanted)), *ends).tolist()
            self._within[wanted] += int((within & mask & (kind == wanted)).sum())

    def scores(self) -> list[Score]:
        """Of every connection that the kernels counted."""
        among_pods = {kind: sum(key in self._flows for key in keys) for kind, keys in self._events.items()}
        told = {kind: among_pods[kind] + within for kind, within in self._within.items()}
        opened, opened_within = (those[_CONNECTED] + those[_FAILED] for those in (told, self._within))
        return [
            scored(OPENED, opened, self.counted.opened, _OFF, source="TcpActiveOpens of their namespaces"),
            scored(ACCEPTED, told[_TAKEN], self.counted.accepted, _OFF, source="TcpPassiveOpens of their namespaces"),
            scored(FAILED, told[_FAILED], self.counted.failed, _OFF, source="TcpAttemptFails of their namespaces"),
            judged(WITHIN, opened_within, self.within, abs(opened_within - self.within), 0, source="the sidecars"),
        ]

    def _of_pods(self, batch: FlowBatch) -> Mask:
        found = np.zeros(len(batch), np.bool_)
        for address in self.pods:
            found |= is_address(batch.array("src_addr"), address)
        return found


def _keys(rows: FlowBatch, client: str, server: str) -> _Keys:
    keys = np.zeros((len(rows), 20), np.uint8)
    keys[:, :16] = rows.array(f"{client}_addr")
    for at, name in ((16, f"{client}_port"), (18, f"{server}_port")):
        keys[:, at : at + 2] = np.ascontiguousarray(rows.array(name), np.dtype("<u2")).view(np.uint8).reshape(-1, 2)
    found: _Keys = keys.view("V20").reshape(-1)
    return found
