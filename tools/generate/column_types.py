# SPDX-License-Identifier: Apache-2.0
"""Writes ui/src/api/columns.generated.ts from the registry of columns and the names of ports; `--check` only compares."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from _target import ROOT, finish

from flowgauge.schema.columns import COLUMNS
from flowgauge.schema.flow_query import Measure
from flowgauge.schema.well_known import PORTS, PROTOCOLS

TARGET = ROOT / "ui/src/api/columns.generated.ts"

_HEAD = """// SPDX-License-Identifier: Apache-2.0
// Written by tools/generate/column_types.py from the column registry: do not edit.

export interface ColumnInfo {
  title: string;
  unit: string;
  kind: string;
  role: string;
  help: string;
}
"""


def text() -> str:
    """The whole file."""
    entries = {
        column.name: {
            "title": column.title,
            "unit": column.unit,
            "kind": str(column.kind),
            "role": str(column.role),
            "help": column.help,
        }
        for column in COLUMNS
    }
    lines = [f"  {name}: {json.dumps(entry, ensure_ascii=False)}," for name, entry in entries.items()]
    measures = " | ".join(json.dumps(str(measure)) for measure in Measure)
    return "\n".join(
        [
            _HEAD,
            "/** Every column, in the registry's order. */",
            "export const COLUMNS = {",
            *lines,
            "} as const satisfies Record<string, ColumnInfo>;",
            "",
            "export type ColumnName = keyof typeof COLUMNS;",
            "",
            f"export type Measure = {measures};",
            "",
            _names("PROTOCOL_NAMES", PROTOCOLS),
            _names("PORT_NAMES", PORTS),
        ]
    )


def _names(name: str, table: Mapping[int, str]) -> str:
    lines = [f"  {number}: {json.dumps(text)}," for number, text in table.items()]
    return "\n".join([f"export const {name}: Readonly<Record<number, string>> = {{", *lines, "};", ""])


if __name__ == "__main__":
    sys.exit(finish(TARGET, text()))
