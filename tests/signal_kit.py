# SPDX-License-Identifier: Apache-2.0
"""For tests: signals of the flow program as plain values, and a link with a known delay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from flowgauge.agent import attribution, signal_columns, signal_rows, socket_events
from flowgauge.agent.accounter import account
from flowgauge.agent.containers import Containers
from flowgauge.agent.hellos import COLUMNS, Hellos
from flowgauge.agent.local_addresses import LocalAddresses
from flowgauge.demo.scene.delayer import Delayer, delayed
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.kernel_types import enumerators
from flowgauge.ebpf.translations import join
from flowgauge.flow import addresses
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.enums import INITIATOR, SOCKET_EVENT, TCP_STATE_FINAL
from node_kit import TwoPods

_NUMBERS = (
    "src_port", "dst_port", "proto", "packets", "bytes", "tcp_flags", "rtt_min_ns", "rtt_avg_ns", "rtt_max_ns", "handshake_ns",
    "retransmits", "tcp_state_final", "drop_packets", "drop_bytes", "dns_id", "dns_type", "dns_latency_ns", "time_start_ns",
    "time_end_ns", "server_time_min_ns", "server_time_avg_ns", "server_time_max_ns", "server_time_count",
    "src_pid", "dst_pid", "src_uid", "dst_uid", "socket_event", "initiator", "icmp_error_packets",
)  # fmt: skip
_TEXTS = ("drop_cause", "drop_tcp_state", "dns_rcode", "dns_name", "rtt_histogram", "src_process", "dst_process",
          "src_container", "dst_container", "src_pod_uid", "dst_pod_uid", *COLUMNS, "icmp_error")  # fmt: skip


def batch(program: FlowProgram) -> FlowBatch:
    """All flows and signals until now, as an agent that has the machine to itself would send them."""
    ticks = program.ticks()
    evicted, known = program.evict(), program.known_translations()
    signals = signal_rows.place(evicted, known)
    translated = join(signals.keys, known.keys, known.values)
    flows = account(
        signals.keys,
        signals.values,
        translated,
        LocalAddresses(),
        ticks=ticks,
        sampling_rate=np.ones(len(signals.keys), np.uint32),
    )
    containers, local, hellos = Containers(), LocalAddresses(), Hellos()
    hellos.add(evicted.hellos, evicted.keys, known)
    flows = flows.with_columns(
        signal_columns.columns(signals, enumerators("skb_drop_reason"), histogram=True)
        | attribution.columns(signals.keys, evicted.owners, known, containers)
        | hellos.columns(signals.keys)
    )
    return FlowBatch.concat([flows, socket_events.batch(evicted.events, known, local, containers)])


def told(program: FlowProgram) -> list[dict[str, Any]]:
    """The same as plain values."""
    return rows(batch(program))


def rows(flows: FlowBatch) -> list[dict[str, Any]]:
    """Flows as plain values; a signal that no flow has reads 0 or empty."""
    return [_row(flows, at) for at in range(len(flows))]


def _row(flows: FlowBatch, at: int) -> dict[str, Any]:
    row: dict[str, Any] = {name: addresses.to_text(flows.array(name)[at].tobytes()) for name in ("src_addr", "dst_addr")}
    row |= {name: int(flows.array(name)[at]) for name in _NUMBERS}
    return row | {name: flows.names(name).to_list()[at] for name in _TEXTS}


def macs_of(flows: FlowBatch, src: str, dst: str) -> list[tuple[str, str]]:
    """Source and destination MAC of each flow of these ends, as ``ip link`` writes them; empty where there is none."""
    ends = [[addresses.to_text(one.tobytes()) for one in flows.array(name)] for name in ("src_addr", "dst_addr")]
    macs = [[one.tobytes() for one in flows.array(name)] for name in ("src_mac", "dst_mac")]
    found = [pair for *way, pair in zip(*ends, zip(*macs, strict=True), strict=True) if way == [src, dst]]
    return [(_mac(one), _mac(other)) for one, other in found]


def _mac(value: bytes) -> str:
    return value.hex(":") if any(value) else ""


def own_name() -> str:
    """What the kernel calls this process."""
    return Path("/proc/self/comm").read_text().strip()


def one(among: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    """The only row with these values."""
    found = [row for row in among if wanted.items() <= row.items()]
    assert len(found) == 1, (wanted, found or among)
    return found[0]


def events(rows: list[dict[str, Any]], **wanted: Any) -> list[tuple[str, str, str]]:
    """(event, how the connection stands, who opened it) of one socket's rows, in order."""
    found = sorted(
        (row for row in rows if row["socket_event"] and wanted.items() <= row.items()), key=lambda row: row["time_end_ns"]
    )
    return [
        (SOCKET_EVENT[row["socket_event"]], TCP_STATE_FINAL[row["tcp_state_final"]], INITIATOR[row["initiator"]])
        for row in found
    ]


@contextmanager
def delay(node: TwoPods, match: str, delay_s: float) -> Iterator[Delayer]:
    """Holds back what the node forwards and ``match`` (of iptables) finds."""
    with delayed(node.node, match, delay_s) as delayer:
        yield delayer
