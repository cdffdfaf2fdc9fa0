# SPDX-License-Identifier: Apache-2.0
"""Says of each flow that is sent why its record ends here (RFC 5102 5.11.3, flowEndReason): a pure function of columns.

Every flow is sent and forgotten at each export, so a record that ends may be one of a flow that goes on. Before:
:mod:`flowgauge.agent.flow_source`; after: the encoder.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from flowgauge.flow.batch import FlowBatch

_ENDING_FLAGS = 0x01 | 0x04
"""FIN and RST."""


class EndReason(IntEnum):
    """IANA's values of element 136."""

    IDLE = 1
    ACTIVE = 2
    ENDED = 3
    FORCED = 4


def told(batch: FlowBatch, now_ns: int, idle_ns: int, *, stopping: bool) -> FlowBatch:
    """The batch with ``flow_end_reason``: the first of these that holds; rows of socket events have none.

    * ended: FIN or RST was seen;
    * idle: no packet since ``idle_ns``;
    * forced: the agent is ``stopping``;
    * active: the export interval is over, and the flow may go on.
    """
    otherwise = EndReason.FORCED if stopping else EndReason.ACTIVE
    idle = now_ns - batch.array("time_end_ns") >= idle_ns
    reasons = np.where(idle, EndReason.IDLE, otherwise)
    reasons = np.where(batch.array("tcp_flags") & _ENDING_FLAGS, EndReason.ENDED, reasons)
    return batch.with_columns({"flow_end_reason": np.where(batch.array("socket_event"), 0, reasons).astype(np.uint8)})
