# SPDX-License-Identifier: Apache-2.0
"""Named datasets: flows that are kept until somebody removes them, each set in a database of its own beside the live one.

A database has the same tables, so that every statement and every question works in it unchanged; retention and the disk's guard
look only at their own. Neighbours: ``backend`` opens one as a store of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from flowgauge.errors import UsageError
from flowgauge.schema.column import Stored
from flowgauge.schema.columns import BY_PHYSICAL
from flowgauge.store.store import Dataset

Rows = list[list[str]]

MARK = "_dataset_"
"""Between the live database's name and the dataset's."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}", re.ASCII)


def database_of(live: str, name: str) -> str:
    """The database of dataset ``name``; UsageError when this cannot be a name."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a dataset: lower-case letters, digits, _ and -, at most 60, as office-2024")
    return f"{live}{MARK}{name}"


def is_dataset(live: str, database: str) -> bool:
    """Whether ``database`` is one that ``database_of`` names."""
    prefix = live + MARK
    return database.startswith(prefix) and _NAME.fullmatch(database.removeprefix(prefix)) is not None


LISTING = """SELECT name, toUInt64(sum(p.rows)) AS flows, toUInt64(sum(p.bytes_on_disk)) AS disk_bytes,
  toInt64(toUnixTimestamp(minIf(p.min_time, p.rows > 0))) * 1000 AS oldest_ms,
  toInt64(toUnixTimestamp(maxIf(p.max_time, p.rows > 0))) * 1000 AS newest_ms
FROM system.databases AS d
LEFT JOIN (SELECT * FROM system.parts WHERE table = 'flows' AND active) AS p ON p.database = d.name
WHERE startsWith(name, {prefix:String}) GROUP BY name ORDER BY name"""
"""Each dataset with its size, those without a flow too."""


def read(live: str, rows: Iterable[dict[str, object]]) -> list[Dataset]:
    """The datasets from the listing's result."""
    found = []
    for row in rows:
        database = str(row["name"])
        if is_dataset(live, database):
            numbers = {name: int(str(row[name])) for name in ("flows", "disk_bytes", "oldest_ms", "newest_ms")}
            found.append(Dataset(database.removeprefix(live + MARK), **numbers))
    return found


def groups_of(columns: Iterable[str]) -> tuple[Stored, ...]:
    """The column groups of a table with these physical columns: a dataset has what the live table has."""
    return tuple(sorted({BY_PHYSICAL[name].stored for name in columns} - {Stored.CORE}))
