# SPDX-License-Identifier: Apache-2.0
"""Why an agent's record of a flow ends: IANA's registry of flowEndReason (element 136) is the witness."""

from __future__ import annotations

import numpy as np
import pytest

from flowgauge.agent.flow_ends import told
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.enums import SOCKET_EVENT, code
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.ipfix_encode import FlowEncoder
from flowgauge.wire.ipfix_write import MessageWriter, Piece, template_set

IDLE_TIMEOUT, ACTIVE_TIMEOUT, END_DETECTED, FORCED_END = 1, 2, 3, 4
NOW_NS, IDLE_NS = 1_800_000_000_000_000_000, 15_000_000_000
SYN_ACK, FIN, RST = 0x12, 0x11, 0x04


def flows(ages_s: list[float], flags: list[int], event: str = "") -> FlowBatch:
    """TCP flows whose last packet was so many seconds ago."""
    count = len(ages_s)
    ends = NOW_NS - (np.array(ages_s) * 1e9).astype(np.int64)
    return FlowBatch(
        {
            "src_addr": np.tile(np.frombuffer(bytes(10) + b"\xff\xff\x0a\0\0\1", np.uint8), (count, 1)),
            "dst_addr": np.tile(np.frombuffer(bytes(10) + b"\xff\xff\x0a\0\0\2", np.uint8), (count, 1)),
            "src_port": np.full(count, 40_000, np.uint16),
            "dst_port": np.full(count, 443, np.uint16),
            "proto": np.full(count, 6, np.uint8),
            "packets": np.ones(count, np.uint64),
            "bytes": np.full(count, 40, np.uint64),
            "time_start_ns": ends,
            "time_end_ns": ends,
            "tcp_flags": np.array(flags, np.uint16),
            "socket_event": np.full(count, code(SOCKET_EVENT, event), np.uint8),
        },
        count,
    )


@pytest.mark.parametrize(
    ("stopping", "otherwise"), [(False, ACTIVE_TIMEOUT), (True, FORCED_END)], ids=["running", "at the end"]
)
def test_a_flow_ends_as_idle_from_the_timeout_on(otherwise: int, *, stopping: bool) -> None:
    batch = told(flows([0, 14.9, 15, 40], [SYN_ACK] * 4), NOW_NS, IDLE_NS, stopping=stopping)
    assert batch.array("flow_end_reason").tolist() == [otherwise, otherwise, IDLE_TIMEOUT, IDLE_TIMEOUT]


def test_a_connection_whose_end_was_seen_has_ended_however_long_ago() -> None:
    batch = told(flows([0, 40, 0], [FIN, RST, SYN_ACK]), NOW_NS, IDLE_NS, stopping=False)
    assert batch.array("flow_end_reason").tolist() == [END_DETECTED, END_DETECTED, ACTIVE_TIMEOUT]


def test_an_event_of_a_socket_is_no_flow_that_ends() -> None:
    assert told(flows([0, 40], [0, 0], "connected"), NOW_NS, IDLE_NS, stopping=False).array("flow_end_reason").tolist() == [
        0,
        0,
    ]


def test_the_reason_is_what_a_collector_reads() -> None:
    encoder, writer = FlowEncoder(1400, 32473), MessageWriter(7, 1400)
    pieces, signatures = encoder.encode(told(flows([0, 20, 1], [SYN_ACK, SYN_ACK, FIN]), NOW_NS, IDLE_NS, stopping=False))
    templates = Piece(template_set([encoder.template(signature).record for signature in signatures]), 0)
    payloads = [bytes(message.payload) for message in writer.messages([templates, *pieces], NOW_NS // 10**9)]
    read = Decoder().decode(Datagrams.from_payloads(payloads)).flows
    assert sorted(read.array("flow_end_reason").tolist()) == [IDLE_TIMEOUT, ACTIVE_TIMEOUT, END_DETECTED]
