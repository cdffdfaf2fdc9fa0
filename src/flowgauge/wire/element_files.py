# SPDX-License-Identifier: Apache-2.0
"""Information elements that users add: CSV (as the vendors' in ``schema/vendor_elements.csv``) or YAML, without a rebuild.

::

    enterprise,number,name,type,column
    4242,7,serverName,string,application_name
    0,42000,queueDepth,unsigned32,

YAML is a list of mappings with these keys. ``column`` may be left out; with it, the element fills that column of flows.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any

import yaml

from flowgauge.errors import ConfigError, Problem
from flowgauge.schema.column import Kind
from flowgauge.schema.columns import BY_NAME
from flowgauge.wire.elements import DATA_TYPES, Element, name_of

MAX_ELEMENTS = 10_000
_KEYS = ("enterprise", "number", "name", "type", "column")
_NEITHER = f"neither CSV with a first line {','.join(_KEYS)} nor a YAML list of mappings"
_TYPES_OF_KIND: Mapping[Kind, frozenset[str]] = {
    Kind.ADDR: frozenset({"ipv4Address", "ipv6Address"}),
    Kind.MAC: frozenset({"macAddress"}),
    Kind.NAMES: frozenset({"string"}),
    Kind.LIST: frozenset({"string"}),
}
_NUMBERS = frozenset({"unsigned8", "unsigned16", "unsigned32", "unsigned64"})
_NOT_OF_RECORDS = frozenset({
    "exporter_addr", "obs_domain_id", "template_id", "flow_format", "record_kind", "time_received_ns", "observed_ifs",
})  # fmt: skip
"""Columns that say how a record came, and one that only our agents fill."""


def elements_from(text: str, source: str) -> tuple[Element, ...]:
    """The elements of a file's text; ``source`` is its name in messages.

    Raises:
        ConfigError: with every problem of the file.
    """
    problems: list[Problem] = []
    found: dict[tuple[int, int], Element] = {}
    for line, row in _rows(text, source):
        element = _element(row, line, problems)
        if element is None:
            continue
        if (element.enterprise, element.number) in found:
            problems.append(Problem(element.name, "is there twice", line))
        found[element.enterprise, element.number] = element
    if len(found) > MAX_ELEMENTS:
        problems.append(Problem("", f"{len(found)} elements, at most {MAX_ELEMENTS} can be added"))
    if problems:
        raise ConfigError(source, problems)
    return tuple(found.values())


def _rows(text: str, source: str) -> list[tuple[int, Mapping[str, Any]]]:
    """(line, row) of a file of either kind."""
    if text.lstrip("\ufeff").startswith(_KEYS[0] + ","):
        reader = csv.DictReader(text.lstrip("\ufeff").splitlines())
        return [(reader.line_num, row) for row in reader]
    try:
        rows = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(source, [Problem("", f"{_NEITHER}: {error}")]) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(source, [Problem("", _NEITHER)])
    return [(0, row) for row in rows]


def _element(row: Mapping[str, Any], line: int, problems: list[Problem]) -> Element | None:
    """One element; None when something is wrong with it, which is added to ``problems``."""
    enterprise, number = _number(row.get("enterprise", 0)), _number(row.get("number"))
    name, data_type, column = (str(row.get(key) or "").strip() for key in ("name", "type", "column"))
    path = name or f"element {row.get('number')}"
    before = len(problems)
    if not 0 <= enterprise < 1 << 32:
        problems.append(Problem(path, "enterprise is a number from 0 (IANA) to 4294967295", line))
    if not 0 < number < 1 << 16:
        problems.append(Problem(path, "number is from 1 to 65535", line))
    if data_type not in DATA_TYPES:
        problems.append(Problem(path, f"type {data_type!r} is none of {', '.join(DATA_TYPES)}", line))
    elif message := _misfit(column, data_type):
        problems.append(Problem(path, message, line))
    if len(problems) > before:
        return None
    return Element(enterprise, number, name_of(enterprise, number), data_type, help=name, column=column)


def _misfit(column: str, data_type: str) -> str:
    """Why an element cannot fill a column; empty when it can."""
    if not column:
        return ""
    if column not in BY_NAME or column in _NOT_OF_RECORDS or column.startswith("time_"):
        return f"{column!r} is no column that a record can fill"
    wanted = _TYPES_OF_KIND.get(BY_NAME[column].kind, _NUMBERS)
    return "" if data_type in wanted else f"column {column} takes {', '.join(sorted(wanted))}, not {data_type}"


def _number(value: object) -> int:
    try:
        return int(str(value).strip(), 0)
    except ValueError:
        return -1
