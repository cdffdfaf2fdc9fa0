# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the program that uses it
"""The samples of sFlow datagrams as tshark's dissector shows them, in our names: the fixed part, the packet, the counters.

It knows no discarded packets (format 5), so these are given to it as expanded flow samples, with
whose head they share most words.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from captures_of import Sent
from offered import SAMPLE_BYTES, parts_in, samples_in
from sflow_packets import device, parsed, sampled
from tshark import Pairs, first, flat, trees

FLOW, COUNTER, EXPANDED_FLOW, EXPANDED_COUNTER, DISCARDED = 1, 2, 3, 4, 5
HEADER = 1
MAX_RECORDS = 64
"""Of a sample; what the decoder reads."""
_LOCAL = 0x3FFFFFFF

_COUNTERS: Mapping[str, str] = {
    "ifIndex": "ifindex", "ifType": "iftype", "ifSpeed": "ifspeed", "ifDirection": "ifdirection", "ifInOctets": "ifinoct",
    "ifInUcastPkts": "ifinpkt", "ifInMulticastPkts": "ifinmcast", "ifInBroadcastPkts": "ifinbcast", "ifInDiscards": "ifindisc",
    "ifInErrors": "ifinerr", "ifInUnknownProtos": "ifinunk", "ifOutOctets": "ifoutoct", "ifOutUcastPkts": "ifoutpkt",
    "ifOutMulticastPkts": "ifoutmcast", "ifOutBroadcastPkts": "ifoutbcast", "ifOutDiscards": "ifoutdisc",
    "ifOutErrors": "ifouterr", "ifPromiscuousMode": "ifpromisc",
}  # fmt: skip
_SAME_NAMES = frozenset({"vlan_id", "octets", "ucastPkts", "multicastPkts", "broadcastPkts", "discards"})
_SAME_BEGINNINGS = ("dot3Stats", "cpu_", "total_memory", "free_memory")


@dataclass(frozen=True)
class Place:
    """One sample in the datagram itself, found by its lengths: format, content, and the same of its records."""

    tag: int
    at: int
    end: int
    records: Sequence[tuple[int, int, int]]


def places(payload: bytes) -> list[Place]:
    """The samples of a datagram."""
    found = []
    for tag, at, length in samples_in(payload):
        start = at + SAMPLE_BYTES.get(tag, length)
        count = int.from_bytes(payload[start - 4 : start])
        whole = tag in SAMPLE_BYTES and start <= at + length
        inside = list(parts_in(payload, start, at + length, min(count, MAX_RECORDS))) if whole else []
        found.append(Place(tag, at, at + length, inside))
    return found


def by_tshark(sent: Sequence[Sent]) -> list[tuple[list[Pairs], bool]]:
    """Of each datagram the trees of its samples, and whether tshark came to its end."""
    found = []
    for layers in trees([Sent(one.source, _known(one.payload)) for one in sent], "sflow"):
        shown = first(layers, "sflow")
        samples = [value for _, value in shown if isinstance(value, list) and first(value, "sflow.enterprise")]
        found.append((samples, not any(name.startswith("_ws.") for name, _ in (*layers, *shown))))
    return found


def _known(payload: bytes) -> bytes:
    """The datagram with expanded flow samples for those of discarded packets."""
    made, done = bytearray(), 0
    for tag, at, length in samples_in(payload):
        if tag == DISCARDED and length >= SAMPLE_BYTES[tag]:
            number, kind, index, drops, came, went, _, records = struct.unpack_from("!8I", payload, at)
            head = struct.pack("!13I", EXPANDED_FLOW, length + 12, number, kind, index, 1, 0, drops, 0, came, 0, went, records)
            made += payload[done : at - 8] + head
            done = at + SAMPLE_BYTES[tag]
    return bytes(made) + payload[done:]


def kind(tree: Pairs) -> tuple[int, int]:
    """Format and length of a sample; -1 of an enterprise's own."""
    return int(first(tree, "sflow_245.sampletype") or -1), int(first(tree, "sflow_5.sample_length") or -1)


def records(tree: Pairs) -> list[tuple[int, int, Pairs]]:
    """Format, length and tree of each record of a sample; -1 of an enterprise's own."""
    found = []
    for _, value in tree:
        if isinstance(value, list) and first(value, "sflow.enterprise"):
            format_ = first(value, "sflow_245.flow_record_format") or first(value, "sflow_245.counters_record_format") or -1
            found.append((int(format_), int(first(value, "sflow_5.flow_data_length") or -1), value))
    return found


def fixed(tree: Pairs) -> dict[str, int]:
    """The fixed part, as ``Samples.words`` has it."""
    values = {
        name.rpartition("sample.")[2]: int(value, 0) for name, value in tree if isinstance(value, str) and "_sample." in name
    }
    values |= {
        "source_type": values.get("source_id_class", values.get("source_id_type", 0)),
        "source_index": values.get("index", values.get("source_id_index", 0)),
    }
    found = {
        "sequence": values["sequence_number"],
        "source_type": values["source_type"],
        "source_index": values["source_index"],
    }
    if "sampling_rate" not in values:
        return found
    found |= {"rate": values["sampling_rate"], "pool": values["sample_pool"], "drops": values["dropped_packets"]}
    if "input_interface_value" in values:
        found |= {"in_format": values["input_interface_format"], "in_value": values["input_interface_value"]}
        found |= {"out_format": values["output_interface.format"], "out_value": values["output_interface_value"]}
        return found
    went = values.get("output_interface", values.get("multiple_outputs", 0) | 1 << 31)
    for side, value in (("in", values["input_interface"]), ("out", went)):
        found |= {f"{side}_format": value >> 30, f"{side}_value": value & _LOCAL}
    return found


def interfaces(words: Mapping[str, int]) -> dict[str, int]:
    """``in_if`` and ``out_if`` of the fixed part, where there is exactly one."""
    found = {}
    for side in ("in", "out"):
        value = words[f"{side}_value"]
        found[f"{side}_if"] = value if words[f"{side}_format"] == 0 and value != _LOCAL else 0
    return found


def packet(shown: Sequence[tuple[int, int, Pairs]]) -> dict[str, Any]:
    """What the records of a flow sample say, by column; the first of each format counts."""
    by_format: dict[int, Pairs] = {}
    for format_, _, tree in shown:
        by_format.setdefault(format_, tree)
    found = sampled(by_format[HEADER]) if HEADER in by_format else parsed(by_format)
    return found | device(by_format, found)


def counters(shown: Sequence[tuple[int, int, Pairs]]) -> dict[str, int]:
    """The counters of the records that both know."""
    found: dict[str, int] = {}
    for format_, _, tree in shown:
        values = {name.rpartition(".")[2]: values[0] for name, values in flat(tree).items()}
        if format_ == 1:
            found |= {name: int(values[label]) for name, label in _COUNTERS.items()}
            found["ifStatus"] = int(values["ifadmin_status"]) + 2 * int(values["ifoper_status"])
        else:
            found |= {
                name.removeprefix("sflow_"): int(value)
                for name, value in values.items()
                if name in _SAME_NAMES or name.startswith(_SAME_BEGINNINGS)
            }
    return found
