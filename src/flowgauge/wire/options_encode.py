# SPDX-License-Identifier: Apache-2.0
"""Encodes what an agent says beside flows: itself, its counters, names of interfaces, answers of DNS, types of our elements."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flowgauge.runtime.ledger import BY_ENTERPRISE, COUNTERS
from flowgauge.schema.columns import BY_NAME
from flowgauge.schema.iana import NUMBERS
from flowgauge.schema.told import ANSWERS, DEVICE, DEVICE_BEFORE, NODE, TOLD, Answer, Kernel, Told
from flowgauge.wire.elements import DATA_TYPES, VARIABLE, Element
from flowgauge.wire.ipfix_encode import FLOW_TEMPLATES, MAX_TEXT_BYTES
from flowgauge.wire.ipfix_write import template_record, variable
from flowgauge.wire.layout import Field

SYSTEM_TEMPLATE, INTERFACE_TEMPLATE, TYPE_TEMPLATE, ANSWER_TEMPLATE, DEVICE_TEMPLATE, NODE_TEMPLATE = (
    FLOW_TEMPLATES.stop + number for number in range(6)
)

_DEFAULT, _TOTAL_COUNTER = 0, 2
"""Semantics of an element (RFC 5610 §3.3)."""
_UNITS: Mapping[str, int] = {"bytes": 2, "packets": 3, "ns": 8, "s": 5, "entries": 12}
"""Unit → number in IANA's registry of units (RFC 5610 §3.4); what it does not have is sent as 0, none."""
_TOTALS = BY_ENTERPRISE.keys() | {told.enterprise for told in TOLD if told.counter}
_ANSWER = struct.Struct("!IQ16s16sI")
_OF_DEVICE = DEVICE + DEVICE_BEFORE
_SENT_COUNTERS = tuple(counter for counter in COUNTERS if counter.enterprise)


@dataclass(frozen=True, slots=True)
class System:
    """What an agent says of itself.

    Attributes:
        domain: observation domain.
        name: of the node.
        sampling: one of this many packets is observed.
        started_ms: when the agent started, ms since 1970.
        counters: cumulative, by the ledger's names; those without an element are not sent.
    """

    domain: int
    name: str
    sampling: int
    started_ms: int
    counters: Mapping[str, int]


def templates(pen: int) -> list[bytes]:
    """The options template records."""
    return [
        template_record(SYSTEM_TEMPLATE, _system_fields(pen), scope_count=1),
        template_record(INTERFACE_TEMPLATE, _fields(ingressInterface=4, interfaceName=VARIABLE), scope_count=1),
        type_template(),
        template_record(ANSWER_TEMPLATE, _answer_fields(pen), scope_count=1),
        template_record(DEVICE_TEMPLATE, [*_fields(ingressInterface=4), *_numbers(_OF_DEVICE, pen)], scope_count=1),
        template_record(NODE_TEMPLATE, [*_fields(observationDomainId=4), *_numbers(NODE, pen)], scope_count=1),
    ]


def type_template() -> bytes:
    """The options template record of ``type_records`` (RFC 5610)."""
    fields = _fields(
        privateEnterpriseNumber=4, informationElementId=2, informationElementDataType=1, informationElementSemantics=1,
        informationElementUnits=2, informationElementName=VARIABLE,
    )  # fmt: skip
    return template_record(TYPE_TEMPLATE, fields, scope_count=2)


def _fields(**lengths: int) -> list[Field]:
    return [Field(0, NUMBERS[name], length) for name, length in lengths.items()]


def _system_fields(pen: int) -> list[Field]:
    """The name last: nfdump 1.7 reads what follows a field of variable length at a place where it is not."""
    counters = [Field(pen, counter.enterprise, 8) for counter in _SENT_COUNTERS]
    head = _fields(observationDomainId=4, samplingInterval=4, systemInitTimeMilliseconds=8)
    return [*head, *counters, *_fields(observationDomainName=VARIABLE)]


def _answer_fields(pen: int) -> list[Field]:
    lengths = {"ipv6Address": 16, "unsigned32": 4}
    own = [Field(pen, told.enterprise, lengths[told.data_type]) for told in ANSWERS]
    name = Field(pen, BY_NAME["dns_name"].enterprise, VARIABLE)
    return [*_fields(observationDomainId=4, observationTimeMilliseconds=8), *own, name]


def _numbers(told: Iterable[Told], pen: int) -> list[Field]:
    return [Field(pen, one.enterprise, 8) for one in told]


def device_records(kernel: Kernel) -> Iterable[bytes]:
    """One record a device."""
    layout = struct.Struct(f"!I{len(_OF_DEVICE)}Q")
    return (layout.pack(index, *values, *kernel.before[index]) for index, values in sorted(kernel.devices.items()))


def node_records(domain: int, kernel: Kernel) -> Iterable[bytes]:
    """The record of the node, if it is told now."""
    return [struct.pack(f"!I{len(NODE)}Q", domain, *kernel.node)] if kernel.node else []


def answer_records(domain: int, answers: Iterable[Answer]) -> Iterable[bytes]:
    """One record an answer of DNS."""
    for one in answers:
        fixed = _ANSWER.pack(domain, one.learned_ms, one.client, one.address, one.ttl_s)
        yield fixed + variable(one.name.encode()[:MAX_TEXT_BYTES])


def system_record(system: System) -> bytes:
    """The record of the system template."""
    counters = [system.counters.get(counter.name, 0) & 0xFFFFFFFFFFFFFFFF for counter in _SENT_COUNTERS]
    fixed = struct.pack(f"!IIQ{len(counters)}Q", system.domain, system.sampling, system.started_ms, *counters)
    return fixed + variable(system.name.encode())


def interface_records(names: Mapping[int, str]) -> Iterable[bytes]:
    """One record an interface: ``names`` by ifIndex."""
    return (struct.pack("!I", index) + variable(name.encode()) for index, name in sorted(names.items()))


def type_records(elements: Iterable[Element]) -> Iterable[bytes]:
    """One record an element: what somebody who does not know our enterprise number needs to decode it."""
    for element in elements:
        semantics = _TOTAL_COUNTER if element.number in _TOTALS else _DEFAULT
        data_type = DATA_TYPES.index(element.data_type)
        numbers = element.enterprise, element.number, data_type, semantics, _UNITS.get(element.unit, 0)
        yield struct.pack("!IHBBH", *numbers) + variable(element.name.encode())
