# SPDX-License-Identifier: Apache-2.0
"""The section ``spec.storage``: where flows are kept, how long, and how much of each."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from flowgauge.config import values
from flowgauge.config.section import Section
from flowgauge.schema import duration
from flowgauge.schema.column import Stored

SWITCHED = tuple(group for group in Stored if group not in (Stored.CORE, Stored.NEVER))
"""Groups of columns that a store keeps or leaves out."""


class StorageType(StrEnum):
    """Where flows are kept."""

    EMBEDDED = "Embedded"
    LOKI = "Loki"
    ELASTICSEARCH = "Elasticsearch"
    CLICKHOUSE = "ClickHouse"


def _group(value: Any) -> Any:
    if value not in SWITCHED:
        raise ValueError(f"there is no group of columns {value!r}; there are {', '.join(SWITCHED)}")
    return value


Retention = Annotated[
    str,
    BeforeValidator(values.duration_text),
    Field(pattern=duration.PATTERN),
    AfterValidator(values.between("1h", "520w")),
]


class Index(Section):
    """The tables that flows are kept in."""

    model_config = ConfigDict(extra="allow")
    columns: list[Annotated[Stored, BeforeValidator(_group)]] = Field(default_factory=list)
    """Groups of columns stored beside those that every installation and exporter.features need: router (AS numbers, masks, next
    hops, VRFs, applications), l2 (MAC addresses, VLANs), nat … Page "Columns" says what is in which; each column costs up to
    1 B a flow."""


class Storage(Section):
    """Where flows are kept, and how long."""

    type: StorageType = StorageType.EMBEDDED
    """Embedded keeps them on this machine; the others are servers at `address`."""
    address: Annotated[str, Field(validate_default=True)] = ""
    """URL of the server; empty for Embedded."""
    retention: Retention = "7d"
    """How long flows are kept; at least 1h, since whole hours are dropped."""
    max_memory_bytes: Annotated[int, Field(ge=536_870_912)] = 1_610_612_736
    """Memory the embedded store may use."""
    index: Index = Field(default_factory=Index)
    """The tables."""

    @field_validator("address")
    @classmethod
    def _url_of_a_server(cls, value: str, info: ValidationInfo) -> str:
        kind = info.data.get("type", StorageType.EMBEDDED)
        if kind is not StorageType.EMBEDDED and not value.startswith(("http://", "https://")):
            raise ValueError(f"must be the URL of the {kind} server (http://host:port), not {value!r}")
        return value
