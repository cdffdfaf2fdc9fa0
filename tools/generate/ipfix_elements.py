# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - a row of a Markdown table is one line
"""Writes docs/reference/ipfix-elements.md: what our agents send, from the column registry and the ledger.

``--check`` fails when the file differs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from _target import REFERENCE, finish

from flowgauge.agent.settings import DOCUMENTATION_PEN
from flowgauge.flow.batch import definition
from flowgauge.runtime.ledger import BY_ENTERPRISE
from flowgauge.schema.columns import COLUMNS as REGISTRY
from flowgauge.schema.iana import ELEMENTS
from flowgauge.wire.elements import IANA, Element, our_elements
from flowgauge.wire.flow_fields import COMMON, GROUPS, TEXTS, FlowField, flow_fields, text_fields
from flowgauge.wire.ipfix_encode import FLOW_TEMPLATES, sent_elements
from flowgauge.wire.options_encode import (
    ANSWER_TEMPLATE,
    DEVICE_TEMPLATE,
    INTERFACE_TEMPLATE,
    NODE_TEMPLATE,
    SYSTEM_TEMPLATE,
    TYPE_TEMPLATE,
)

TARGET = REFERENCE / "ipfix-elements.md"

_COLUMNS = """
| column | IPv4 element | IPv6 element | bytes | meaning |
| --- | --- | --- | --- | --- |
"""

_HEAD = f"""<!-- Written by tools/generate/ipfix_elements.py from the code: do not edit. -->
# IPFIX: what agents send

Agents send standard IPFIX (RFC 7011) over UDP, so any collector can read them; tshark and nfdump are tested to read the same
values as we do. What IANA has an element for uses it. The rest are elements of our own, under a private enterprise number
(PEN). The default, {DOCUMENTATION_PEN}, is reserved for documentation (RFC 5612): in production set your own, the same for agents and
collector. A number below is never given another meaning.

With the templates, and as often, agents send the name, type and unit of each own element (RFC 5610), so that a collector which
has never heard of us can name them.
"""

_TEMPLATES = f"""
## Flow records

Templates {FLOW_TEMPLATES.start} to {FLOW_TEMPLATES.stop - 1}. A record has the fields that its flow has a value for: those of the first table always, those
of the second in groups. The template's number says which: {FLOW_TEMPLATES.start}, plus 1 for IPv6, plus the number of each group. Which
number has which fields never changes.

Times are in milliseconds and ICMP type and code share one element, because widely used collectors (nfdump 1.7) read no finer
times and no separate ICMP elements. `flowDirection` is 0 for ingress and 1 for egress as IANA says, 2 for a flow within the
node, 255 if unknown. An address or port after translation that is zero was not translated.
"""

_OPTIONS = f"""
## Options records

| template | scope | fields | sent |
| --- | --- | --- | --- |
| {SYSTEM_TEMPLATE} | observationDomainId | samplingInterval (one of so many packets), systemInitTimeMilliseconds (start of the agent), the counters below, observationDomainName (the node) | each export interval |
| {INTERFACE_TEMPLATE} | ingressInterface | interfaceName | when one changes, and with the templates |
| {ANSWER_TEMPLATE} | observationDomainId | observationTimeMilliseconds (when it came), `dns_client`, `dns_address`, `dns_ttl_s`, `dns_name`: an answer of DNS | before the flows that follow it, and again every 5 minutes |
| {DEVICE_TEMPLATE} | ingressInterface | packets that a device dropped or failed with, in and out: the elements `device_…` | every 10 s those that have moved, every minute all |
| {NODE_TEMPLATE} | observationDomainId | fill of connection tracking, what found queues full: elements 237 to 245 | every 10 s |
| {TYPE_TEMPLATE} | privateEnterpriseNumber, informationElementId | informationElementDataType, -Semantics, -Units, -Name | with the templates |
"""

_COUNTERS = """
## Counters

Cumulative since the agent started, in the options record of the system. How they add up: [metrics](metrics.md).

| number | name | type | unit | meaning |
| --- | --- | --- | --- | --- |
"""

_OWN = """
## Own elements of flows and names

*Sent*: agents send it in records of flows or options. The others are reserved for what agents will send, and for flows that are sent on with
their names.

| number | name | type | unit | sent | meaning |
| --- | --- | --- | --- | --- | --- |
"""


def text() -> str:
    """The whole page."""
    sent = {element.number for element in sent_elements(DOCUMENTATION_PEN)}
    own = our_elements(DOCUMENTATION_PEN)
    parts = [_HEAD, _TEMPLATES, _COLUMNS]
    parts += [f"{line}\n" for line in _field_lines(COMMON)]
    for number, group in enumerate(GROUPS):
        parts.append(f"\nGroup {2 << number}:\n{_COLUMNS}")
        parts += [f"{line}\n" for line in _field_lines(group)]
    parts += [_OPTIONS, _COUNTERS]
    parts += [f"{_own_line(element)}\n" for element in own if element.number in BY_ENTERPRISE]
    parts.append(_OWN)
    for element in own:
        if element.number not in BY_ENTERPRISE:
            parts.append(f"{_own_line(element, 'yes' if element.number in sent else '')}\n")
    return "".join(parts)


def _field_lines(names: tuple[str, ...]) -> Iterator[str]:
    """One line a field: a column, or the two of ICMP that share one."""
    v4, v6 = flow_fields(names, DOCUMENTATION_PEN, v6=False), flow_fields(names, DOCUMENTATION_PEN, v6=True)
    fields = [name for name in names if name != "icmp_code" and name not in TEXTS]
    for name, four, six in zip(fields, v4, v6, strict=True):
        shown = "`icmp_type`, `icmp_code`" if name == "icmp_type" else f"`{name}`"
        lengths = sorted({four.dtype.itemsize, six.dtype.itemsize})
        length = " or ".join(map(str, lengths))
        yield f"| {shown} | {_element(four)} | {_element(six) if six.number != four.number else ''} | {length} | {definition(name).help} |"
    for name, field in text_fields(names, DOCUMENTATION_PEN).items():
        yield f"| `{name}` | own {field.number} |  | variable | {definition(name).help} |"


def _element(field: FlowField) -> str:
    if field.enterprise == IANA:
        return f"{field.number} {ELEMENTS[field.number][0]}"
    return f"own {field.number}"


def _own_line(element: Element, *more: str) -> str:
    cells = (str(element.number), f"`{element.name}`", element.data_type, element.unit, *more, _meaning(element))
    return f"| {' | '.join(cells)} |"


def _meaning(element: Element) -> str:
    """The registry's words; for an enumeration its codes as well."""
    labels = next((column.labels for column in REGISTRY if column.name == element.name), ())
    codes = ", ".join(f"{number} {label}" for number, label in enumerate(labels) if label)
    return f"{element.help} Values: {codes}." if codes else element.help


if __name__ == "__main__":
    sys.exit(finish(TARGET, text()))
