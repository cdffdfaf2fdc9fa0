# SPDX-License-Identifier: Apache-2.0
"""Records of ``pbflow`` → columns: a list per field, then arrays; no object per flow of our own.

How fields are read that need reading: ``dscp`` is the upper six bits of ``ip_tos``; of ``flags`` the low byte is TCP's, the
bits above are that agent's own marks (SYN+ACK and the like); ``dns_flags`` gives the response code where there was a question;
addresses of all zeros after translation mean that there was none; ``time_flow_rtt`` is one smoothed round trip, so it stands
for mean, smallest and largest. Kernel drop reasons come as the sender's kernel numbers them, without names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.flow.addresses import V4_MAPPED_PREFIX
from flowgauge.flow.batch import ColumnData, definition, dtype_of
from flowgauge.flow.names import Names
from flowgauge.schema.enums import FLOW_DIRECTION, FLOW_FORMAT, SAMPLING_SOURCE, code
from flowgauge.schema.numbered_words import dns_rcode, tcp_state

Entries = Sequence[Any]
_ICMP = (1, 58)
_NO_ADDR = bytes(16)
_DSCP_SHIFT, _TOS_BITS = 2, 0xFC
_TCP_BITS = 0xFF
_IPV6_BYTES = 16
_INGRESS, _EGRESS = code(FLOW_DIRECTION, "ingress"), code(FLOW_DIRECTION, "egress")
_PBFLOW = code(FLOW_FORMAT, "pbflow")
_RECORD = code(SAMPLING_SOURCE, "record")
_NS = 1_000_000_000


def columns(entries: Entries, sender: bytes, received_ns: int) -> dict[str, ColumnData]:
    """The public columns of records that all have addresses, one row each.

    Args:
        entries: messages of type ``Record``.
        sender: 16 bytes, for records that do not name their agent.
        received_ns: when they came.
    """
    found: dict[str, ColumnData] = {
        **_key(entries),
        **_counters(entries),
        **_signals(entries),
        **_translation(entries),
        **_observation(entries, sender),
    }
    found["time_received_ns"] = np.full(len(entries), received_ns, np.int64)
    found["flow_format"] = np.full(len(entries), _PBFLOW, np.uint8)
    for name in ("obs_domain_id", "template_id", "record_kind"):
        found[name] = np.zeros(len(entries), dtype_of(definition(name)))
    return found


def _key(entries: Entries) -> dict[str, ColumnData]:
    proto = _numbers("proto", entries, lambda one: one.transport.protocol & 0xFF)
    icmp = np.isin(proto, _ICMP)
    found: dict[str, ColumnData] = {
        "src_addr": _addresses([one.network.src_addr for one in entries]),
        "dst_addr": _addresses([one.network.dst_addr for one in entries]),
        "src_port": _numbers("src_port", entries, lambda one: one.transport.src_port & 0xFFFF),
        "dst_port": _numbers("dst_port", entries, lambda one: one.transport.dst_port & 0xFFFF),
        "proto": proto,
        "src_mac": _macs([one.data_link.src_mac for one in entries]),
        "dst_mac": _macs([one.data_link.dst_mac for one in entries]),
        "ether_type": _numbers("ether_type", entries, lambda one: one.eth_protocol & 0xFFFF),
        "ip_tos": _numbers("ip_tos", entries, lambda one: one.network.dscp << _DSCP_SHIFT & _TOS_BITS),
        "tcp_flags": _numbers("tcp_flags", entries, lambda one: one.flags & _TCP_BITS),
    }
    for name in ("icmp_type", "icmp_code"):
        value = np.fromiter((getattr(one, name) & 0xFF for one in entries), np.int16, len(entries))
        found[name] = np.where(icmp, value, np.int16(-1))
    return found


def _counters(entries: Entries) -> dict[str, ColumnData]:
    rate = _numbers("sampling_rate", entries, lambda one: one.sampling)
    return {
        "bytes": _numbers("bytes", entries, lambda one: one.bytes),
        "packets": _numbers("packets", entries, lambda one: one.packets),
        "sampling_rate": rate,
        "sampling_source": (rate != 0) * np.uint8(_RECORD),
        "time_start_ns": _numbers("time_start_ns", entries, lambda one: _moment_ns(one.time_flow_start)),
        "time_end_ns": _numbers("time_end_ns", entries, lambda one: _moment_ns(one.time_flow_end)),
    }


def _signals(entries: Entries) -> dict[str, ColumnData]:
    rtt = _latency([one.time_flow_rtt for one in entries])
    asked = [bool(one.dns_id or one.dns_flags) for one in entries]
    dropped = [bool(one.pkt_drop_packets) for one in entries]
    causes = [str(one.pkt_drop_latest_drop_cause) if there else "" for one, there in zip(entries, dropped, strict=True)]
    states = [tcp_state(one.pkt_drop_latest_state) if there else "" for one, there in zip(entries, dropped, strict=True)]
    return {
        "rtt_min_ns": rtt,
        "rtt_avg_ns": rtt,
        "rtt_max_ns": rtt,
        "drop_packets": _numbers("drop_packets", entries, lambda one: one.pkt_drop_packets),
        "drop_bytes": _numbers("drop_bytes", entries, lambda one: one.pkt_drop_bytes),
        "drop_cause": Names.from_strings(causes),
        "drop_tcp_state": Names.from_strings(states),
        "dns_id": _numbers("dns_id", entries, lambda one: one.dns_id & 0xFFFF),
        "dns_latency_ns": _latency([one.dns_latency for one in entries]),
        "dns_rcode": Names.from_strings(
            dns_rcode(one.dns_flags) if there else "" for one, there in zip(entries, asked, strict=True)
        ),
    }


def _translation(entries: Entries) -> dict[str, ColumnData]:
    found: dict[str, ColumnData] = {}
    for end in ("src", "dst"):
        found[f"post_nat_{end}_addr"] = _addresses([getattr(one.xlat, f"{end}_addr") for one in entries])
        found[f"post_nat_{end}_port"] = np.fromiter(
            (getattr(one.xlat, f"{end}_port") & 0xFFFF for one in entries), np.uint16, len(entries)
        )
    return found


def _observation(entries: Entries, sender: bytes) -> dict[str, ColumnData]:
    """Who saw the flow, where, which way. Agents name every interface that saw it, or only one."""
    agents = _addresses([one.agent_ip for one in entries])
    nameless = ~agents.any(axis=1)
    agents[nameless] = np.frombuffer(sender, np.uint8)
    seen = [
        [(entry.interface, entry.direction) for entry in one.dup_list] or [(one.interface, one.direction)] for one in entries
    ]
    egress = np.fromiter((one.direction == 1 for one in entries), np.bool_, len(entries))
    return {
        "exporter_addr": agents,
        "flow_direction": np.where(egress, _EGRESS, _INGRESS).astype(np.uint8),
        "in_if_name": Names.from_strings(_first(places, 0) for places in seen),
        "out_if_name": Names.from_strings(_first(places, 1) for places in seen),
        "observed_if_names": Names.from_strings(",".join(name for name, _ in places if name) for places in seen),
        "observed_if_dirs": Names.from_strings(",".join(str(way) for name, way in places if name) for places in seen),
    }


def _places(one: Any) -> list[tuple[str, int]]:
    """(interface, direction) of each place where the flow was seen."""
    return [(entry.interface, entry.direction) for entry in one.dup_list] or [(one.interface, one.direction)]


def _first(places: Sequence[tuple[str, int]], direction: int) -> str:
    return next((name for name, way in places if way == direction), "")


def _numbers(name: str, entries: Entries, value: Callable[[Any], int]) -> npt.NDArray[Any]:
    return np.fromiter(map(value, entries), dtype_of(definition(name)), len(entries))


def _moment_ns(moment: Any) -> int:
    """Nanoseconds since 1970; what does not fit is no time."""
    found: int = moment.seconds * _NS + moment.nanos
    return found if 0 <= found < 1 << 63 else 0


def _latency(durations: Sequence[Any]) -> npt.NDArray[np.uint32]:
    """As the column takes it: what is longer than it can say is its longest, and a negative one is none."""
    most = np.iinfo(np.uint32).max
    return np.fromiter((min(max(one.seconds * _NS + one.nanos, 0), most) for one in durations), np.uint32, len(durations))


def _addresses(addresses: Sequence[Any]) -> npt.NDArray[np.uint8]:
    """uint8 (n, 16), v4-mapped; zeros for none, of which an IPv4 address of zeros is one."""
    return np.frombuffer(bytearray(b"".join(map(_address, addresses))), np.uint8).reshape(-1, 16)


def _address(one: Any) -> bytes:
    six: bytes = one.ipv6
    if len(six) == _IPV6_BYTES:
        return six
    four: int = one.ipv4
    return V4_MAPPED_PREFIX + four.to_bytes(4, "big") if four else _NO_ADDR


def _macs(values: Sequence[int]) -> npt.NDArray[np.uint8]:
    """uint8 (n, 6), in the order of the wire: 0x112233445566 is 11:22:33:44:55:66."""
    wide = np.array([value & 0xFFFFFFFFFFFF for value in values], ">u8")
    return wide.view(np.uint8).reshape(-1, 8)[:, 2:].copy()


def has_addresses(one: Any) -> bool:
    """Whether a record tells of a flow at all."""
    network = one.network
    return bool(network.HasField("src_addr") and network.HasField("dst_addr"))
