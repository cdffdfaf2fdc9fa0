# SPDX-License-Identifier: Apache-2.0
"""What there is to ask for: columns, fields of the filter, measures."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from flowgauge.schema.column import Column
from flowgauge.schema.columns import COLUMNS
from flowgauge.schema.filters.fields import FIELDS, SYNONYMS
from flowgauge.schema.flow_query import Measure

router = APIRouter(prefix="/api/v1", tags=["columns"])


@router.get("/columns")
async def columns() -> dict[str, Any]:
    """Every column, every name that a filter may use, and what can be summed."""
    return {
        "columns": [_column_json(column) for column in COLUMNS],
        "fields": [
            {"name": field.name, "help": field.help, "columns": [column.name for column in field.columns]}
            for field in FIELDS.values()
        ],
        "synonyms": SYNONYMS,
        "measures": list(Measure),
    }


def _column_json(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "title": column.title,
        "help": column.help,
        "unit": column.unit,
        "kind": column.kind,
        "role": column.role,
        "stored": column.stored,
        "labels": [label for label in column.labels if label],
    }
