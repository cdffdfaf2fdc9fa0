# SPDX-License-Identifier: Apache-2.0
"""The message types of ``pbflow.proto``, made at import: no generated code, and no compiler when installing.

Enumerations are read as numbers, and the two forms of an address as two fields, which is the same on the wire. ``RECORDS`` is
what one gRPC call carries, ``RECORD`` what one Kafka message holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory, timestamp_pb2

SERVICE, METHOD = "pbflow.Collector", "Send"
PACKAGE = "pbflow"

FieldProto = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "uint32": FieldProto.TYPE_UINT32, "uint64": FieldProto.TYPE_UINT64, "fixed32": FieldProto.TYPE_FIXED32,
    "string": FieldProto.TYPE_STRING, "bytes": FieldProto.TYPE_BYTES, "bool": FieldProto.TYPE_BOOL,
}  # fmt: skip
_TIME, _DURATION = "google.protobuf.Timestamp", "google.protobuf.Duration"

FIELDS: Mapping[str, Mapping[int, tuple[str, str]]] = {
    "CollectorReply": {},
    "Records": {1: ("entries", "repeated Record")},
    "DupMapEntry": {1: ("interface", "string"), 2: ("direction", "uint32")},
    "Record": {
        1: ("eth_protocol", "uint32"), 2: ("direction", "uint32"), 3: ("time_flow_start", _TIME),
        4: ("time_flow_end", _TIME), 5: ("data_link", "DataLink"), 6: ("network", "Network"),
        7: ("transport", "Transport"), 8: ("bytes", "uint64"), 9: ("packets", "uint64"), 10: ("interface", "string"),
        11: ("duplicate", "bool"), 12: ("agent_ip", "IP"), 13: ("flags", "uint32"), 14: ("icmp_type", "uint32"),
        15: ("icmp_code", "uint32"), 16: ("pkt_drop_bytes", "uint64"), 17: ("pkt_drop_packets", "uint64"),
        18: ("pkt_drop_latest_flags", "uint32"), 19: ("pkt_drop_latest_state", "uint32"),
        20: ("pkt_drop_latest_drop_cause", "uint32"), 21: ("dns_id", "uint32"), 22: ("dns_flags", "uint32"),
        23: ("dns_latency", _DURATION), 24: ("time_flow_rtt", _DURATION), 25: ("dns_errno", "uint32"),
        26: ("dup_list", "repeated DupMapEntry"), 28: ("xlat", "Xlat"), 29: ("sampling", "uint32"),
    },
    "DataLink": {1: ("src_mac", "uint64"), 2: ("dst_mac", "uint64")},
    "Network": {1: ("src_addr", "IP"), 2: ("dst_addr", "IP"), 3: ("dscp", "uint32")},
    "IP": {1: ("ipv4", "fixed32"), 2: ("ipv6", "bytes")},
    "Transport": {1: ("src_port", "uint32"), 2: ("dst_port", "uint32"), 3: ("protocol", "uint32")},
    "Xlat": {1: ("src_addr", "IP"), 2: ("dst_addr", "IP"), 3: ("src_port", "uint32"), 4: ("dst_port", "uint32")},
}  # fmt: skip
"""Message → field number → (name, type)."""


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="flowgauge/pbflow.proto", package=PACKAGE, syntax="proto3")
    file.dependency.extend(["google/protobuf/timestamp.proto", "google/protobuf/duration.proto"])
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in fields.items():
            _add(message, number, field, kind)
    return file


def _add(message: descriptor_pb2.DescriptorProto, number: int, name: str, kind: str) -> None:
    repeated = kind.startswith("repeated ")
    kind = kind.removeprefix("repeated ")
    field = message.field.add(name=name, number=number)
    field.label = FieldProto.LABEL_REPEATED if repeated else FieldProto.LABEL_OPTIONAL
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = FieldProto.TYPE_MESSAGE
        field.type_name = f".{kind}" if "." in kind else f".{PACKAGE}.{kind}"


def _classes() -> Mapping[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    for known in (timestamp_pb2.DESCRIPTOR, duration_pb2.DESCRIPTOR):
        pool.AddSerializedFile(known.serialized_pb)
    pool.AddSerializedFile(_file().SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in FIELDS}


CLASSES = _classes()
RECORDS, RECORD = CLASSES["Records"], CLASSES["Record"]
REPLY: bytes = b""
"""An empty ``CollectorReply``."""
