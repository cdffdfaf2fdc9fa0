# SPDX-License-Identifier: Apache-2.0
"""What one column is: the entry type of the registry in :mod:`flowgauge.schema.columns`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a column is held in memory, one array (or dictionary) a batch.

    * ``U8 … I64``: a numpy array of that width, shape (n,).
    * ``ADDR``: uint8 (n, 16), network order, IPv4 as v4-mapped IPv6; ``MAC``: uint8 (n, 6).
    * ``U32X4``: uint32 (n, 4), only between agent and ``normalise``.
    * ``ENUM``: uint8 codes into the entry's ``labels``.
    * ``NAMES``: int32 codes into a dictionary of strings, code 0 is always the empty string.
    * ``LIST``: as ``NAMES``; each string is a list joined by commas, split again at the edges.
    """

    U8 = "u8"
    U16 = "u16"
    U32 = "u32"
    U64 = "u64"
    I16 = "i16"
    I64 = "i64"
    ADDR = "addr"
    MAC = "mac"
    U32X4 = "u32x4"
    ENUM = "enum"
    NAMES = "names"
    LIST = "list"


RANGES: dict[Kind, tuple[int, int]] = {
    Kind.U8: (0, 2**8 - 1),
    Kind.ENUM: (0, 2**8 - 1),
    Kind.U16: (0, 2**16 - 1),
    Kind.U32: (0, 2**32 - 1),
    Kind.U64: (0, 2**64 - 1),
    Kind.I16: (-(2**15), 2**15 - 1),
    Kind.I64: (-(2**63), 2**63 - 1),
}
"""The least and the largest number that a kind holds."""


class Role(StrEnum):
    """What a column is for in a question."""

    TIME = "time"
    DIMENSION = "dimension"
    MEASURE = "measure"
    DETAIL = "detail"


class Cardinality(StrEnum):
    """How many values a column has, as far as labels and indexes care: tens, thousands, or as many as there are flows."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Stored(StrEnum):
    """Whether the store keeps a column: always, as part of a group that is switched on, or never."""

    CORE = "core"
    ICMP = "icmp"
    SEEN = "seen"
    SIGNALS = "signals"
    ROUTER = "router"
    L2 = "l2"
    NAT = "nat"
    DNS = "dns"
    TLS = "tls"
    PROCESS = "process"
    GEO = "geo"
    POLICY = "policy"
    PATH = "path"
    TUNNEL = "tunnel"
    NEVER = "never"


ABSENT_BY_PROTOCOL = "by_protocol"
"""``Column.absent`` of ports: absent exactly where the protocol has none (see ``columns.PORT_PROTOCOLS``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: the only place where it is described.

    Attributes:
        name: public name, lower snake case, with its unit.
        kind: how it is held in memory (see ``Kind``), and in the store.
        public_kind: how its public value is held before ``normalise`` and travels, where that needs more room than ``kind``.
        title: short heading for people.
        help: one sentence: what it means, for documentation and hover text.
        unit: ``bytes``, ``ns``, ``packets`` …; empty for a plain value.
        role, cardinality, stored: see the enums.
        absent: the value that means "no value here": an integer, ``ABSENT_BY_PROTOCOL``, or None when every flow has one.
            For NAMES and LIST it is always the empty string, for ADDR the all-zero address, for ENUM code 0 if its
            label is empty.
        held_as: physical column that holds the value after ``normalise``, when it is not ``name`` itself.
        scale: public value = physical value × scale.
        labels: texts of an ENUM, by code; codes are only ever appended.
        most: the largest value that means something, where the kind holds larger ones; 0: all that it holds.
        of_numbers: whether the items of a LIST are numbers.
        element, element_v6: IANA information elements (the second where IPv6 has its own).
        enterprise: element number under our private enterprise number; never reused.
        netobserv: the field's name in NetObserv's documented flow format.
        otel: OpenTelemetry attribute name.
    """

    name: str
    kind: Kind
    title: str
    help: str
    unit: str = ""
    public_kind: Kind | None = None
    role: Role = Role.DIMENSION
    cardinality: Cardinality = Cardinality.MEDIUM
    stored: Stored = Stored.CORE
    absent: int | str | None = None
    held_as: str = ""
    scale: int = 1
    labels: tuple[str, ...] = ()
    most: int = 0
    of_numbers: bool = False
    element: int = 0
    element_v6: int = 0
    enterprise: int = 0
    netobserv: str = ""
    otel: str = ""

    @property
    def physical(self) -> str:
        """Name of the column that holds the value in batches after ``normalise`` and in the store."""
        return self.held_as or self.name

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the largest number that may stand in the physical column, without what means absence at either end."""
        least, most = RANGES[self.kind]
        if self.absent == -1:
            least = -1
        most = self.most or most
        return least + (self.absent == least), most - (self.absent == most)

    def kind_as(self, name: str) -> Kind:
        """How the column is held under its public or physical ``name``."""
        return self.public_kind if self.public_kind and name == self.name else self.kind
