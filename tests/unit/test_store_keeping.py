# SPDX-License-Identifier: Apache-2.0
"""Tables over time: an older schema, groups switched on, retention, a disk that fills up."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from flowgauge.errors import EnvironmentProblem
from flowgauge.schema.column import Stored
from flowgauge.schema.columns import BY_NAME, DEFAULT_GROUPS, stored_columns
from flowgauge.schema.filters.tree import OneOf
from flowgauge.schema.flow_query import FlowQuery, Measure
from flowgauge.store.clickhouse import ddl
from flowgauge.store.clickhouse.migrate import migrate
from flowgauge.store.clickhouse.retention import MIN_FREE_CAP_BYTES, Space, SpaceGuard, disk_space
from flowgauge.store.clickhouse.types import sql_type
from flowgauge.store.errors import StoreFull
from flowgauge.store.store import LedgerRow
from store_kit import StoreProcess, flows, in_namespace, last, now_ms, running_store

HOUR_MS = 3_600_000


def test_the_store_keeps_at_most_48_core_columns() -> None:
    assert len(stored_columns(())) <= 48


def test_every_stored_column_has_a_type_and_a_codec() -> None:
    for column in stored_columns(tuple(Stored)):
        if column.stored is not Stored.NEVER:
            assert sql_type(column)
            assert ddl.column_ddl(column).startswith(column.physical)


@pytest.mark.slow
def test_a_group_switched_on_later_reads_old_rows_as_absent(tmp_path: Path) -> None:
    with running_store(tmp_path / "store", "--groups", "") as process:
        process.open().write(flows("old", 3), "old")
    with running_store(tmp_path / "store", "--groups", "icmp,geo") as process:
        store = process.open()
        store.write(flows("new", 2, icmp_type=8, src_country=["ch", "de"]), "new")
        old = store.flows(FlowQuery(last(), in_namespace("old")))
        assert old.array("icmp_type").tolist() == [-1] * 3
        assert old.names("src_country").to_list() == [""] * 3
        swiss = OneOf(BY_NAME["src_country"], ("ch",))
        assert len(store.flows(FlowQuery(last(), swiss))) == 1
    with running_store(tmp_path / "store", "--groups", "") as process:  # switched off: kept, no longer required
        assert len(process.open().flows(FlowQuery(last()))) == 5


def test_flows_of_a_table_that_lacks_columns_still_read(tmp_path: Path) -> None:
    """A table as the first version could have written it: fewer columns, no rollup, no version."""
    executed: list[str] = []
    tables: dict[str, dict[str, str]] = {"flows": {"time_end_ms": "DateTime64(3, 'UTC')"}}

    def execute(sql: str) -> list[list[str]]:
        executed.append(sql)
        if "max(version)" in sql:
            return [["0"]]
        if "system.columns" in sql:
            return [[name, kind.replace("'", "\\'")] for name, kind in tables["flows"].items()]
        return [["TTL toDateTime(time_end_ms) + toIntervalHour(168)"]] if "engine_full" in sql else []

    added = migrate(execute, DEFAULT_GROUPS, retention_hours=168)
    assert set(added) == {column.physical for column in stored_columns()} - {"time_end_ms"}
    assert any(sql.startswith("INSERT INTO schema_version") for sql in executed)
    assert not any("MODIFY TTL" in sql for sql in executed)


@pytest.mark.slow
def test_a_table_of_a_file_for_each_column_is_read_and_written_on_as_one_file(tmp_path: Path) -> None:
    with running_store(tmp_path / "store") as process:
        ask(process, "ALTER TABLE flows MODIFY SETTING min_bytes_for_wide_part = 0")
        ask(process, "ALTER TABLE flows RESET SETTING merge_selector_base")
        process.open().write(flows("wide", 3), "wide")
        assert "Wide" in part_types(process)
    with running_store(tmp_path / "store") as process:
        store = process.open()
        store.write(flows("compact", 2), "compact")
        assert "Compact" in part_types(process)
        assert f"merge_selector_base = {ddl.MERGE_BASE}" in definition(process)
        assert len(store.flows(FlowQuery(last(), in_namespace("wide")))) == 3
        ask(process, "OPTIMIZE TABLE flows FINAL")
        assert len(store.flows(FlowQuery(last(), in_namespace("wide")))) == 3
        assert len(store.flows(FlowQuery(last(), in_namespace("compact")))) == 2
        store.write(flows("compact", 2), "compact")
        assert len(store.flows(FlowQuery(last(), in_namespace("compact")))) == 2


def test_what_a_table_lacks_of_how_flows_are_kept_is_altered_at_once_and_only_that() -> None:
    (new, *_) = ddl.create_statements((), retention_hours=1)
    assert ddl.alter_keeping(f"{new}, index_granularity = 8192") == ""
    older = new.replace(f"merge_selector_base = {ddl.MERGE_BASE}", f"merge_selector_base = {ddl.MERGE_BASE}0")
    assert older != new
    assert ddl.alter_keeping(older) == f"ALTER TABLE flows MODIFY SETTING merge_selector_base = {ddl.MERGE_BASE}"
    assert ddl.alter_keeping("MergeTree ORDER BY proto").count(" = ") == 2


def definition(process: StoreProcess) -> str:
    """Of the table of flows."""
    return ask(process, "SELECT engine_full FROM system.tables WHERE database = 'flowgauge' AND name = 'flows'")


def part_types(process: StoreProcess) -> str:
    """Of all parts of the table of flows that are on disk, merged ones included."""
    return ask(process, "SELECT DISTINCT part_type FROM system.parts WHERE database = 'flowgauge' AND table = 'flows'")


def test_tables_of_a_newer_version_are_refused() -> None:
    with pytest.raises(EnvironmentProblem, match="schema version 99"):
        migrate(lambda sql: [["99"]] if "max(version)" in sql else [], (), retention_hours=1)


def test_a_column_of_another_type_is_refused() -> None:
    def execute(sql: str) -> list[list[str]]:
        if "max(version)" in sql:
            return [[str(ddl.SCHEMA_VERSION)]]
        return [["proto", "String"]] if "system.columns" in sql else []

    with pytest.raises(EnvironmentProblem, match="proto of table flows is String"):
        migrate(execute, (), retention_hours=1)


@pytest.mark.slow
def test_hours_past_the_retention_go_and_a_changed_retention_takes_effect(tmp_path: Path) -> None:
    with running_store(tmp_path / "store", "--retention-hours", "48") as process:
        store = process.open()
        ages = np.array([0, 5, 30], np.int64) * HOUR_MS
        store.write(flows("ages", 3).with_columns({"time_end_ms": now_ms() - ages}), "ages")
        assert len(store.flows(FlowQuery(last(40 * 3600)))) == 3
    with running_store(tmp_path / "store", "--retention-hours", "24") as process:
        assert "toIntervalHour(24)" in ask(process, "SHOW CREATE TABLE flows")
        assert len(process.open().flows(FlowQuery(last(40 * 3600)))) == 2


def ask(process: StoreProcess, sql: str) -> str:
    import urllib.request

    request = urllib.request.Request(process.url, sql.encode(), {"X-ClickHouse-Key": process.secret})  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return str(answer.read().decode())


class Disk:
    """Stands in for the engine and its disk: a disk of 1000 units with partitions of 100, for the guard alone."""

    def __init__(self, free: int, partitions: list[str]) -> None:
        self.free, self.partitions = free, partitions

    def execute(self, sql: str) -> list[list[str]]:
        """Knows the two statements of the guard."""
        if sql.startswith("ALTER TABLE flows DROP PARTITION ID "):
            self.partitions.remove(sql.split("'")[1])
            self.free += 100
            return []
        return [[partition] for partition in self.partitions]

    def space(self) -> Space:
        """How much is free."""
        return Space(1000, self.free)


def test_the_oldest_hours_go_until_a_tenth_is_free() -> None:
    disk = Disk(free=-50, partitions=["1", "2", "3", "4"])
    guard = SpaceGuard(disk.execute, disk.space, Path("/data"), retention_hours=1)
    assert guard.check() == ["1", "2"]
    assert guard.problem == ""
    assert guard.check() == []


def test_the_newest_hour_is_never_dropped_but_writes_are_refused() -> None:
    disk = Disk(free=20, partitions=["now"])
    guard = SpaceGuard(disk.execute, disk.space, Path("/data"), retention_hours=1)
    assert guard.check() == []
    assert "/data" in guard.problem
    disk.free = 500
    guard.check()
    assert guard.problem == ""


def test_a_disk_that_fills_up_between_two_checks_is_refused_at_once_and_told_truly() -> None:
    disk = Disk(free=150, partitions=["1", "2", "now"])
    guard = SpaceGuard(disk.execute, disk.space, Path("/data"), retention_hours=1)
    guard.check()
    disk.free = 60
    assert guard.refusal("flows") == "", "short, but the next check drops an hour"
    disk.free = 40
    assert "are needed" in guard.refusal("flows"), "the engine itself would refuse it, and not say why"
    assert "no older hour" not in guard.refusal("flows")
    assert guard.refusal("ledger") == guard.refusal("flows"), "nothing at all can be written"
    guard.check()
    assert guard.refusal("flows") == "", "an hour went"


def test_a_large_disk_need_not_keep_a_whole_tenth_free() -> None:
    assert Space(100 << 40, 0).needed == MIN_FREE_CAP_BYTES
    assert Space(1 << 30, 0).needed == (1 << 30) // 10


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 96 MiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(mount)], check=True)
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.mark.root
@pytest.mark.slow
def test_a_full_disk_refuses_loudly_and_recovers(small_disk: Path) -> None:
    """What was acknowledged is there; the refusal is StoreFull; room made by hand lets writes through again."""
    ballast = small_disk / "ballast"
    with running_store(small_disk / "store") as process:
        store = process.open(retry_s=0)
        acknowledged, refusal = 0, ""
        for number in range(200):
            try:
                acknowledged += store.write(flows("full", 5000), f"full-{number}")
            except StoreFull as error:
                refusal = str(error)
                break
            with suppress(OSError), ballast.open("ab") as stream:  # as much as there is room for
                stream.write(bytes(2 << 20))
        assert acknowledged > 0
        assert "MiB free" in refusal or "space" in refusal
        found = store.query(FlowQuery(last(600), in_namespace("full"))).total.values[Measure.FLOWS]
        assert found == acknowledged
        ballast.unlink()
        for _ in range(600):  # the guard looks every few seconds
            if not store.status().problem:
                break
            subprocess.run(["sleep", "0.1"], check=True)
        assert store.write(flows("full", 10), "after") == 10


@pytest.mark.root
@pytest.mark.slow
def test_what_is_lost_to_a_full_disk_is_told_while_there_is_some_room(small_disk: Path) -> None:
    """Flows are refused below a tenth, the counters that tell of it below a twentieth."""
    ballast = small_disk / "ballast"

    def leave(mebibytes: int, *, problem: bool) -> None:
        ballast.unlink(missing_ok=True)
        ballast.write_bytes(bytes(disk_space(small_disk).free - (mebibytes << 20)))
        for _ in range(600):  # the guard looks every few seconds
            if bool(store.status().problem) is problem:
                break
            subprocess.run(["sleep", "0.1"], check=True)

    with running_store(small_disk / "store") as process:
        store = process.open(retry_s=0)
        shed = [LedgerRow(now_ms(), "collector", f"c@{now_ms()}", "spool_rows_shed", 7)]
        leave(7, problem=True)
        with pytest.raises(StoreFull):
            store.write(flows("full", 10), "full")
        store.write_ledger(shed)
        assert [(one.counter, one.change) for one in store.ledger(last())] == [("spool_rows_shed", 7)]
        leave(2, problem=True)
        with pytest.raises(StoreFull):
            store.write_ledger(shed)


@pytest.mark.root
@pytest.mark.slow
def test_a_filling_disk_loses_its_oldest_hour_first(small_disk: Path) -> None:
    with running_store(small_disk / "store") as process:
        store = process.open()
        for age in (3, 2, 0):
            store.write(flows(f"age-{age}", 100, ended_ms=now_ms() - age * HOUR_MS), f"age-{age}")
        (small_disk / "ballast").write_bytes(bytes(disk_space(small_disk).free - (4 << 20)))
        for _ in range(600):  # the guard looks every few seconds
            if store.status().problem:
                break
            subprocess.run(["sleep", "0.1"], check=True)
        left = store.query(FlowQuery(last(5 * 3600), group_by=("src_namespace",)))
        assert [group.key["src_namespace"] for group in left.groups] == ["age-0"]
        assert "older hour is left to drop" in store.status().problem
