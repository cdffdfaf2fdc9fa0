# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the program that uses it
"""The packet of an sFlow sample as tshark's dissectors show it, by our columns: its head, or what the device says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tshark import Pairs, first, flat, ordered

from flowgauge.flow.addresses import packed, to_text

ETHERNET, IPV4, IPV6 = 2, 3, 4
SWITCH, ROUTER, GATEWAY, MPLS, NAT, VLAN_TUNNEL, NAT_PORT = 1001, 1002, 1003, 1006, 1007, 1012, 1020
_FRAME_BYTES = 18
_IP_LAYERS = frozenset({"ip", "ipv6"})
_TYPES = ("eth.type", "vlan.etype", "ieee8021ad.etype", "ieee8021ah.etype")
_LENGTHS = frozenset({"eth.len", "vlan.len"})
"""In place of a type; there is one behind it only with SNAP."""
VLAN_IDS = ("vlan.id", "ieee8021ad.id", "ieee8021ad.svid", "ieee8021ad.cvid")
_FIRST_TYPE = 0x0600
MAX_LABELS = 10
"""Read of one stack."""
_HOPS = ("sflow_245.nexthop", "sflow_245.nexthop.v6")
_TAKEN_OFF = "sflow_5.extended_vlan_tunnel.tpid_tci_pair"
_MACS = {"dst_mac": "eth.dst", "src_mac": "eth.src"}
_ENTRY = {"label": 12, "exp": 9, "bottom": 8}
_PORTED = ("tcp", "udp", "sctp", "dccp")
_OF_PROTOCOL = {11: 0x0800, 12: 0x86DD, 13: 0x8847}
"""EtherType of a head without frame, by header protocol."""
Fields = Mapping[str, list[str]]


def sampled(record: Pairs) -> dict[str, Any]:
    """Of a packet's head: the first frame, the first IP packet in it, and what is directly behind its header."""
    layers = [(name, value) for name, value in first(record, "sflow_245.header_tree") if isinstance(value, list)]
    ip = next((at for at, (name, _) in enumerate(layers) if name in _IP_LAYERS), len(layers))
    found = _link(layers[:ip])
    if (protocol := int(first(record, "sflow_245.header_protocol"))) in _OF_PROTOCOL:
        found["ether_type"] = _OF_PROTOCOL[protocol]
    if ip < len(layers):
        found |= _ip(layers[ip][1])
        behind = [(name, flat(value)) for name, value in layers[ip + 1 :]]
        if behind and behind[0][0] == "ah" and layers[ip][0] == "ipv6":
            found["proto"] = _number(behind[0][1], "ah.next_header")
            behind = behind[1:]
        if behind and "src_addr" in found:
            found |= _transport(*behind[0])
    return found


def _link(layers: Pairs) -> dict[str, Any]:
    found: dict[str, Any] = {}
    vlans, entries = list[int](), list[int]()
    for name, value in layers:
        fields = flat(value)
        if name == "mpls":
            entries.append(sum(_number(fields, f"mpls.{part}") << bits for part, bits in _ENTRY.items()))
        if not entries:  # what is below labels is a customer's
            found |= {column: _mac(fields, label) for column, label in _MACS.items() if label in fields}
            found |= _type(fields)
            vlans += [int(told) for label, told in ordered(value) if label in VLAN_IDS]
    for column, vlan in zip(("vlan_id", "dot1q_customer_vlan_id"), vlans, strict=False):
        found[column] = vlan
    return found | {"mpls_labels": _stack(entries)}


def _type(fields: Fields) -> dict[str, int]:
    """The EtherType of a layer, 0 if it has a length instead."""
    if "llc.type" in fields:
        return {"ether_type": _number(fields, "llc.type")}
    told = [_number(fields, label) for label in _TYPES if label in fields]
    if _LENGTHS & fields.keys() or any(value < _FIRST_TYPE for value in told):
        return {"ether_type": 0}
    return {"ether_type": told[-1]} if told else {}


def _stack(entries: Sequence[int]) -> list[int]:
    """The labels of a stack down to its bottom; label 0 above it is none, whatever its class and time to live."""
    found = []
    for entry in entries[:MAX_LABELS]:
        if entry >> 12 or entry >> 8 & 1:
            found.append(entry >> 12)
        if entry >> 8 & 1:
            break
    return found


def _ip(layer: Pairs) -> dict[str, Any]:
    fields = flat(layer)
    if "ip.dst" in fields:
        return {
            "src_addr": _address(fields, "ip.src"), "dst_addr": _address(fields, "ip.dst"),
            "proto": _number(fields, "ip.proto"), "ip_tos": _number(fields, "ip.dsfield"),
            "ip_ttl_min": _number(fields, "ip.ttl"), "bytes": _number(fields, "ip.len"),
        }  # fmt: skip
    if "ipv6.dst" not in fields:
        return {}
    following = [value for name, value in ordered(layer) if name.endswith((".nxt", "ah.next_header"))]
    return {
        "src_addr": _address(fields, "ipv6.src"), "dst_addr": _address(fields, "ipv6.dst"), "proto": int(following[-1], 0),
        "ip_tos": _number(fields, "ipv6.tclass"), "ip_ttl_min": _number(fields, "ipv6.hlim"),
        "bytes": _number(fields, "ipv6.plen") + 40,
    }  # fmt: skip


def _transport(layer: str, fields: Fields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _PORTED:
        if f"{name}.dstport" in fields:
            found |= {"src_port": _number(fields, f"{name}.srcport"), "dst_port": _number(fields, f"{name}.dstport")}
    if "tcp.flags" in fields:
        found["tcp_flags"] = _number(fields, "tcp.flags") & 0x1FF
    if layer in ("icmp", "icmpv6"):
        for word in ("type", "code"):
            if f"{layer}.{word}" in fields:
                found[f"icmp_{word}"] = _number(fields, f"{layer}.{word}")
    return found


def parsed(records: Mapping[int, Pairs]) -> dict[str, Any]:
    """Of what the agent had parsed of a packet; without flags and service type, of which tshark reads the wrong byte."""
    found: dict[str, Any] = {}
    if ETHERNET in records:
        fields = flat(records[ETHERNET])
        found = {
            "src_mac": _mac(fields, "sflow_245.ethernet.source_mac_address"),
            "dst_mac": _mac(fields, "sflow_245.ethernet.destination_mac_address"),
            "ether_type": _number(fields, "sflow_245.ethernet.packet_type") & 0xFFFF,
            "bytes": max(_number(fields, "sflow_245.ethernet.length") - _FRAME_BYTES, 0),
        }
    for tag, version in ((IPV4, "ipv4"), (IPV6, "ipv6")):
        if tag in records and "src_addr" not in found:
            fields = flat(records[tag])
            found |= {
                "src_addr": _address(fields, f"sflow_245.{version}_src"),
                "dst_addr": _address(fields, f"sflow_245.{version}_dst"),
                "bytes": _number(fields, "sflow_245.ip.length"),
                "proto": _number(fields, "sflow.ip_protocol"),
            }
    return found


def device(records: Mapping[int, Pairs], packet: Mapping[str, Any]) -> dict[str, Any]:
    """Of what the device did with the packet; ``packet``: what it says itself."""
    found: dict[str, Any] = {}
    fields = {tag: flat(tree) for tag, tree in records.items()}
    vlan = packet.get("vlan_id", 0)
    if tags := [int(value, 0) & 0xFFF for value in fields.get(VLAN_TUNNEL, {}).get(_TAKEN_OFF, ())]:
        found["dot1q_customer_vlan_id"] = tags[1] if len(tags) > 1 else vlan
        found["vlan_id"] = vlan = tags[0]
    if SWITCH in fields and not vlan and 1 <= (told := _number(fields[SWITCH], "sflow_245.vlan.in")) <= 4094:
        found["vlan_id"] = told
    if ROUTER in fields:
        found["next_hop"] = _told(fields[ROUTER], *_HOPS)
        for side in ("src", "dst"):
            found[f"{side}_mask"] = min(_number(fields[ROUTER], f"sflow_245.nexthop.{side}_mask"), 128)
    if GATEWAY in fields:
        found |= {"bgp_next_hop": _told(fields[GATEWAY], *_HOPS), "src_as": _number(fields[GATEWAY], "sflow_245.srcAS")}
        found["dst_as"] = _last_as(records[GATEWAY])
    stack = fields.get(MPLS, {}).get("sflow_245.extended_mpls.in_label", ())
    if stack and not packet.get("mpls_labels"):
        found["mpls_labels"] = _stack([int(entry) for entry in stack])
    return found | (_translated(fields[NAT], packet) if NAT in fields else {})


def _last_as(record: Pairs) -> int:
    """The last system of the last segment that has any; communities have the same name, but not below a segment."""
    segments = [flat(value).get("sflow_245.dstAS", []) for name, value in record if name == "sflow.as_type_tree"]
    return next((int(segment[-1]) for segment in reversed(segments) if segment), 0)


def _translated(fields: Fields, packet: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for side in ("src", "dst"):
        address = _told(fields, f"sflow_245.ipv4_{side}", f"sflow_245.ipv6_{side}")
        if address != packet.get(f"{side}_addr", ""):
            found[f"post_nat_{side}_addr"] = address
    return found


def _told(fields: Fields, *names: str) -> str:
    """The address that a device tells in one of these fields; none where it is zero."""
    return next((_address(fields, name) for name in names if name in fields and fields[name][0] != "0.0.0.0"), "")


def _address(fields: Fields, name: str) -> str:
    """An address as we write it."""
    return "" if fields[name][0] == "::" else to_text(packed(fields[name][0]))


def _mac(fields: Fields, name: str) -> str:
    return fields[name][0] if fields[name][0].strip("0:") else ""


def _number(fields: Fields, name: str) -> int:
    return int(fields[name][0], 0)
