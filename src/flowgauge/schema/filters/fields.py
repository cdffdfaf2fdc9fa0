# SPDX-License-Identifier: Apache-2.0
"""The names that a filter may use: every column, the both-sided names, and a few short ones.

Derived from the registry: for each pair ``src_x``/``dst_x`` there is ``x``, which means either end, unless a column of its own
has that name (``dns_name`` is the name asked, not the name of an end). ``port`` means every number that a port of the flow has,
so that it finds both directions of a conversation through a Service.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from flowgauge.schema.column import Column, Kind, Stored
from flowgauge.schema.columns import BY_NAME, COLUMNS

NOT_HELD = frozenset({"time_start_ns", "observed_ifs", "conversation_id"})
"""Columns that only the wire or an answer has: there is nothing to compare once flows are normalised."""


@dataclass(frozen=True, slots=True)
class Field:
    """A name of the filter language.

    Attributes:
        name: canonical.
        columns: any of these may match; two for a name that means either end.
        only_kind: the end must be of this kind (``pod``), or empty.
        help: one sentence.
    """

    name: str
    columns: tuple[Column, ...]
    only_kind: str = ""
    help: str = ""


_ALSO = {"port": ("service_port", "target_port")}
"""Columns that a both-sided name means beside the two ends'."""


def _columns() -> dict[str, Field]:
    usable = (column for column in COLUMNS if column.name not in NOT_HELD and column.kind is not Kind.U32X4)
    return {column.name: Field(column.name, (column,), help=column.help) for column in usable}


def _both_sided() -> dict[str, Field]:
    fields = {}
    for column in COLUMNS:
        name = column.name.removeprefix("src_")
        if name == column.name or name in BY_NAME:
            continue
        both = (column, BY_NAME[f"dst_{name}"], *(BY_NAME[more] for more in _ALSO.get(name, ())))
        fields[name] = Field(name, both, help=f"Either end. {column.help}")
    return fields


def _short() -> dict[str, Field]:
    fields = {}
    for name, ends in (("pod", ("src", "dst")), ("src_pod", ("src",)), ("dst_pod", ("dst",))):
        columns = tuple(BY_NAME[f"{end}_name"] for end in ends)
        fields[name] = Field(name, columns, only_kind="Pod", help=f"Name of a pod{', either end' if len(ends) > 1 else ''}.")
    for name, ends in (("dns", ("src", "dst")), ("src_dns", ("src",)), ("dst_dns", ("dst",))):
        columns = tuple(BY_NAME[f"{end}_dns_name"] for end in ends)
        fields[name] = Field(name, columns, help=f"Name from DNS{' of either end' if len(ends) > 1 else ''}.")
    vrfs = (BY_NAME["in_vrf_name"], BY_NAME["out_vrf_name"])
    fields["vrf"] = Field("vrf", vrfs, help="Name of a device's routing table, in or out.")
    for name, end in (("source", "src"), ("destination", "dst")):
        columns = tuple(BY_NAME[f"{end}_{part}"] for part in ("addr", "name", "owner"))
        fields[name] = Field(name, columns, help=f"Address, name or workload of the {name}.")
    return fields


FIELDS: dict[str, Field] = _columns() | _both_sided() | _short()
"""Canonical name → field."""

SYNONYMS = {"protocol": "proto", "app": "application", "src_app": "src_application", "dst_app": "dst_application"}
"""Other spellings of a field."""


def find(name: str) -> Field | None:
    """The field of a canonical name or a synonym."""
    return FIELDS.get(SYNONYMS.get(name, name))


def nearest(name: str) -> str:
    """The field that a mistyped name probably means, or empty; none of those that nothing stored has."""
    known = [*(name for name, field in FIELDS.items() if field.columns[0].stored is not Stored.NEVER), *SYNONYMS]
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
        return close[0]
    parts = [field for field in known if name in field.split("_")]
    return parts[0] if parts else ""
