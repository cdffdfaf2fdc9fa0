# SPDX-License-Identifier: Apache-2.0
"""Information elements by (enterprise, number): name, data type, column. IANA's, vendors', users', and ours."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from flowgauge.runtime import ledger
from flowgauge.schema import iana, vendors
from flowgauge.schema.column import Column, Kind
from flowgauge.schema.columns import COLUMNS
from flowgauge.schema.told import TOLD, Told

IANA = 0
VARIABLE = 0xFFFF
"""Field length that says: each record gives its own (RFC 7011 §7)."""

_KIND_TYPES: dict[Kind, str] = {
    Kind.U8: "unsigned8",
    Kind.U16: "unsigned16",
    Kind.U32: "unsigned32",
    Kind.U64: "unsigned64",
    Kind.I16: "signed16",
    Kind.I64: "signed64",
    Kind.ADDR: "ipv6Address",
    Kind.MAC: "macAddress",
    Kind.ENUM: "unsigned8",
    Kind.U32X4: "octetArray",
    Kind.NAMES: "string",
    Kind.LIST: "string",
}
"""Data type (RFC 7012 §3.1) in which a column of ours travels."""

DATA_TYPES: tuple[str, ...] = (
    "octetArray", "unsigned8", "unsigned16", "unsigned32", "unsigned64", "signed8", "signed16", "signed32", "signed64",
    "float32", "float64", "boolean", "macAddress", "string", "dateTimeSeconds", "dateTimeMilliseconds",
    "dateTimeMicroseconds", "dateTimeNanoseconds", "ipv4Address", "ipv6Address", "basicList", "subTemplateList",
    "subTemplateMultiList",
)  # fmt: skip
"""By their number in IANA's registry of data types (RFC 5610 §3.1): informationElementDataType."""


@dataclass(frozen=True, slots=True)
class Element:
    """One information element.

    Attributes:
        enterprise: 0 is IANA.
        unit: that of the registries, empty for a plain value.
        column: the column that it fills, where neither the column registry nor ``mapping`` says it; or empty.
    """

    enterprise: int
    number: int
    name: str
    data_type: str
    unit: str = ""
    help: str = ""
    column: str = ""


def element_of_column(column: Column, pen: int) -> Element:
    """Our element that carries ``column`` (its ``enterprise`` is not 0)."""
    return Element(pen, column.enterprise, column.name, _KIND_TYPES[column.kind_as(column.name)], column.unit, column.help)


def element_of_counter(counter: ledger.Counter, pen: int) -> Element:
    """Our element that carries a counter of the ledger, cumulative since the agent started."""
    return Element(pen, counter.enterprise, counter.name, "unsigned64", counter.unit, counter.help)


def element_of_told(told: Told, pen: int) -> Element:
    """Our element that carries what agents tell beside flows and counters."""
    return Element(pen, told.enterprise, told.name, told.data_type, told.unit, told.help)


def absent_value(column: Column) -> int:
    """The number that fills rows of a numeric column without a value."""
    return column.absent if isinstance(column.absent, int) else 0


def our_elements(pen: int) -> tuple[Element, ...]:
    """Every element of ours, by number."""
    columns = [element_of_column(column, pen) for column in COLUMNS if column.enterprise]
    counters = [element_of_counter(counter, pen) for counter in ledger.COUNTERS if counter.enterprise]
    told = [element_of_told(one, pen) for one in TOLD]
    return tuple(sorted([*columns, *counters, *told], key=lambda element: element.number))


class Elements:
    """Looks elements up: IANA's, ours, vendors', and those that users add. May serve several decoders.

    Args:
        pen: enterprise number under which ours travel.
        added: elements of users; they come before vendors' and IANA's, so that a device's peculiarities can be told.

    Attributes:
        generation: goes up when users' elements are replaced; what was derived from others is then out of date.
    """

    def __init__(self, pen: int, added: Iterable[Element] = ()) -> None:
        self.pen = pen
        self.generation = 0
        self._known = self._with(added)

    def replace_added(self, added: Iterable[Element]) -> None:
        """Takes ``added`` instead of the users' elements so far; from any thread, also while others look elements up."""
        self._known = self._with(added)
        self.generation += 1  # after the elements: who reads them in between reads them once more

    def _with(self, added: Iterable[Element]) -> dict[tuple[int, int], Element]:
        known = {(element.enterprise, element.number): element for element in (*vendors_elements(), *added)}
        return known | {(self.pen, element.number): element for element in our_elements(self.pen)}

    def get(self, enterprise: int, number: int) -> Element:
        """The element; one that nobody told us of is bytes, named after its numbers."""
        known = self._known.get((enterprise, number))
        if known is not None:
            return known
        if enterprise == IANA and number in iana.ELEMENTS:
            return Element(IANA, number, *iana.ELEMENTS[number])
        if enterprise == vendors.V9_SCOPE and number in vendors.V9_SCOPES:
            return Element(enterprise, number, *vendors.V9_SCOPES[number])
        if enterprise == vendors.REVERSE and number in iana.ELEMENTS:
            return Element(enterprise, number, name_of(enterprise, number), iana.ELEMENTS[number][1])
        others = self._of_another_space(enterprise, number)
        if others is not None:
            return replace(others, enterprise=enterprise, number=number, name=name_of(enterprise, number))
        return Element(enterprise, number, name_of(enterprise, number), "octetArray")

    def _of_another_space(self, enterprise: int, number: int) -> Element | None:
        """What an element is in the number space that its exporter took it from: Cisco's in NetFlow v9, or NetObserv's."""
        if enterprise == IANA and number >= vendors.CISCO_V9_BASE:
            return self._known.get((vendors.CISCO, number - vendors.CISCO_V9_BASE))
        return self._known.get((vendors.NETOBSERV, number)) if enterprise not in _OTHERS else None


def name_of(enterprise: int, number: int) -> str:
    """How an element without a name of IANA's is called: after its numbers, which is what all vendors' names have in common."""
    if enterprise > vendors.LAST_PEN:
        return f"scope{number}"
    return f"pen{enterprise}_{number}" if enterprise else f"ie{number}"


@cache
def vendors_elements() -> tuple[Element, ...]:
    """The elements of the vendors that we know."""
    content = files("flowgauge.schema").joinpath("vendor_elements.csv").read_text()
    return tuple(
        Element(int(row["enterprise"]), int(row["number"]), name_of(int(row["enterprise"]), int(row["number"])), row["type"],
                help=row["name"], column=row["column"] or "")
        for row in csv.DictReader(content.splitlines())
    )  # fmt: skip


_OTHERS = frozenset(element.enterprise for element in vendors_elements())
"""Enterprises whose elements are known not to be NetObserv's."""
