# SPDX-License-Identifier: Apache-2.0
"""Brings the tables to what this version and the switched-on groups need; harmless when repeated.

Runs in the embedded engine at its start, and over HTTP against a server: both give it a function that runs one statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flowgauge.errors import EnvironmentProblem
from flowgauge.schema.column import Stored
from flowgauge.schema.columns import BY_PHYSICAL, stored_columns
from flowgauge.store.clickhouse import ddl
from flowgauge.store.clickhouse.types import sql_type

Execute = Callable[[str], list[list[str]]]
"""Runs one statement and gives its rows as texts."""


def migrate(execute: Execute, groups: Iterable[Stored], *, retention_hours: int | None) -> list[str]:
    """Creates what is missing, adds columns, sets the retention; None keeps flows for ever.

    Returns:
        The names of the columns it added to a table that was there.

    Raises:
        EnvironmentProblem: the tables were written by a newer version, or a column has another type.
    """
    wanted = stored_columns(groups)
    for statement in ddl.create_statements(groups, retention_hours=retention_hours):
        execute(statement)
    _check_version(execute)
    there = present_columns(execute)
    added = []
    for column in wanted:
        if column.physical not in there:
            execute(ddl.add_column(column))
            added.append(column.physical)
        elif there[column.physical] != sql_type(column):
            raise EnvironmentProblem(
                f"column {column.physical} of table flows is {there[column.physical]}, this version needs {sql_type(column)}"
            )
    _set_keeping(execute, retention_hours)
    return added


def present_columns(execute: Execute) -> dict[str, str]:
    """Physical name → type of the columns that table ``flows`` has and we know."""
    rows = execute("SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'flows'")
    return {name: kind.replace("\\'", "'") for name, kind in rows if name in BY_PHYSICAL}


def _check_version(execute: Execute) -> None:
    found = int(execute("SELECT max(version) FROM schema_version")[0][0])
    if found > ddl.SCHEMA_VERSION:
        raise EnvironmentProblem(
            f"the store's tables have schema version {found}; this flowgauge knows up to {ddl.SCHEMA_VERSION}: update it"
        )
    if found < ddl.SCHEMA_VERSION:
        execute(f"INSERT INTO schema_version (version) VALUES ({ddl.SCHEMA_VERSION})")  # noqa: S608 - our own number


def _set_keeping(execute: Execute, retention_hours: int | None) -> None:
    """How flows are kept from now on; parts that are there are not rewritten for it."""
    rows = execute("SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'flows'")
    engine = rows[0][0]
    if alter := ddl.alter_keeping(engine):
        execute(alter)
    if retention_hours is not None and f"toIntervalHour({retention_hours})" not in engine:
        execute(ddl.alter_retention(retention_hours) + " SETTINGS materialize_ttl_after_modify = 0")
