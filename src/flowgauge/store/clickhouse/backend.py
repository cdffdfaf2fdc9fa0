# SPDX-License-Identifier: Apache-2.0
"""FlowStore over a ClickHouse HTTP interface: the embedded store's or a server's, with the same statements."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from flowgauge.errors import FlowgaugeError, UsageError
from flowgauge.flow.arrow import from_arrow
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.column import Stored
from flowgauge.schema.flow_query import FlowQuery, Window
from flowgauge.store import secret as keys
from flowgauge.store.answer import Answer, Edges
from flowgauge.store.clickhouse import answers, datasets, edges, ledger, together
from flowgauge.store.clickhouse.client import QUERY_SECONDS, Address, Clients, embedded_about
from flowgauge.store.clickhouse.migrate import migrate, present_columns
from flowgauge.store.clickhouse.planner import Planner, Statement
from flowgauge.store.clickhouse.writer import Writer
from flowgauge.store.errors import StoreRejected, StoreUnavailable
from flowgauge.store.store import Dataset, FlowStore, LedgerChange, LedgerRow, LedgerStep, StoreStatus

READS_ONLY = "this key only reads; writing needs the store's secret"

UNKNOWN_DATABASE = 81
"""The engine's code for a database that there is not."""

_READ_SETTINGS: dict[str, Any] = {
    "readonly": 2,
    "max_execution_time": QUERY_SECONDS,
    "output_format_arrow_low_cardinality_as_dictionary": 1,
    "output_format_arrow_string_as_string": 1,
}
"""For servers. The embedded store gives readers a profile of its own, which they cannot change."""


@dataclass(slots=True)
class _Connected:
    """What is known of the store once it has answered."""

    readers: Clients
    writer: Writer | None
    segment_dir: Path | None
    embedded: bool
    columns: dict[str, str]


class ClickHouseStore:
    """See ``open_store`` for the arguments; ``live``: the store of which this is a dataset."""

    def __init__(self, address: Address, secret: str, *, groups: Sequence[Stored], retention_hours: int | None, retry_s: float,
                 on_retry: Callable[[], None] | None, live: ClickHouseStore | None = None) -> None:  # fmt: skip
        self._address, self._live = address, live
        self._secret, self._groups, self._retention_hours = secret, tuple(groups), retention_hours
        self._retry_s, self._on_retry = retry_s, on_retry
        self._clients = Clients(self._address, secret)
        self._lock = threading.Lock()
        self._connected: _Connected | None = None

    def migrate(self) -> None:
        """Makes or updates a server's tables, or a dataset's; for the rest the embedded store has done so at its start."""
        if self._live is not None or embedded_about(self._address, self._secret) is None:
            if self._address.database != "default":
                self._create_database()
            groups = self._groups if self._live is None else datasets.groups_of(self._live._ready().columns)  # noqa: SLF001
            migrate(self._rows, groups, retention_hours=self._retention_hours)
        with self._lock:
            self._connected = None

    def write(self, batch: FlowBatch, token: str) -> int:
        """See ``FlowStore.write``."""
        if len(batch) == 0:
            return 0
        there = self._ready()
        if there.writer is None:
            raise StoreRejected(READS_ONLY, code=164)
        return there.writer.write(batch, token, there.columns, there.segment_dir)

    def write_pieces(self, pieces: Iterable[FlowBatch], token: str) -> int:
        """See ``FlowStore.write_pieces``."""
        there = self._ready()
        if there.writer is None:
            raise StoreRejected(READS_ONLY, code=164)
        return there.writer.write_pieces(pieces, token, there.columns, there.segment_dir)

    def write_ledger(self, rows: Sequence[LedgerRow]) -> None:
        """See ``FlowStore.write_ledger``."""
        if not rows:
            return
        writer = self._ready().writer
        if writer is None:
            raise StoreRejected(READS_ONLY, code=164)
        writer.insert_rows("ledger", ledger.to_table(rows), f"ledger-{uuid.uuid4().hex}")

    def query(self, query: FlowQuery) -> Answer:
        """See ``FlowStore.query``."""
        planner = self._planner()
        columns = planner.key_columns(query)
        table = self._read(planner.groups(query))
        extra: tuple[pa.Table, ...] = ()
        if answers.drawn_whole(table, "t_s_drawn_whole"):
            extra = tuple(self._read(together.statement(planner, query, total=total)) for total in (False, True))
        answer = answers.groups(query, columns, table, extra)
        if query.step_ms:
            answer = answers.with_series(query, columns, answer, self._read(planner.series(query)))
        return answer

    def flows(self, query: FlowQuery) -> FlowBatch:
        """See ``FlowStore.flows``."""
        return from_arrow(self._read(self._planner().flows(query)))

    def edges(self, query: FlowQuery) -> Edges:
        """See ``FlowStore.edges``."""
        planner = self._planner()
        table = self._read(edges.statement(planner, query))
        extra = self._read(edges.together(planner, query)) if answers.drawn_whole(table, "s_drawn_whole") else None
        return edges.answer(table, query.window, extra)

    def ledger(self, window: Window) -> list[LedgerChange]:
        """See ``FlowStore.ledger``."""
        return ledger.changes(self._read(ledger.statement(window)), window)

    def ledger_steps(self, component: str, window: Window, step_ms: int) -> list[LedgerStep]:
        """See ``FlowStore.ledger_steps``."""
        return ledger.steps(self._read(ledger.steps_statement(component, window, step_ms)), window, step_ms)

    def status(self) -> StoreStatus:
        """See ``FlowStore.status``."""
        about = embedded_about(self._address, self._secret) or {}
        row = self._read(Statement(_STATUS, {})).to_pylist()[0]
        return StoreStatus(
            engine=f"ClickHouse {row['version']}" + (" (embedded)" if about else ""),
            embedded=bool(about),
            rows=row["rows"], disk_bytes=row["disk_bytes"], parts=row["parts"],
            oldest_ms=row["oldest_ms"], newest_ms=row["newest_ms"], detached_parts=row["detached"],
            problem=str(about.get("refuses_writes", "")),
        )  # fmt: skip

    def datasets(self) -> list[Dataset]:
        """See ``FlowStore.datasets``."""
        live = self._address.database
        table = self._read(Statement(datasets.LISTING, {"prefix": live + datasets.MARK}))
        return datasets.read(live, table.to_pylist())

    def dataset(self, name: str) -> FlowStore:
        """See ``FlowStore.dataset``."""
        address = replace(self._address, database=datasets.database_of(self._address.database, name))
        return ClickHouseStore(address, self._secret, groups=self._groups, retention_hours=None, retry_s=self._retry_s,
                               on_retry=self._on_retry, live=self)  # fmt: skip

    def remove_dataset(self, name: str) -> None:
        """See ``FlowStore.remove_dataset``."""
        database = datasets.database_of(self._address.database, name)
        if name not in {one.name for one in self.datasets()}:
            raise UsageError(f"there is no dataset {name!r}; `flowgauge datasets` lists them")
        with self._clients.use() as client:
            client.command(f"DROP DATABASE `{database}` SYNC")

    def close(self) -> None:
        """See ``FlowStore.close``."""
        self._clients.close()
        with self._lock:
            there, self._connected = self._connected, None
        if there is not None:
            there.readers.close()

    def _ready(self) -> _Connected:
        """Connects at first use; a failure is not remembered."""
        with self._lock:
            if self._connected is None:
                self._connected = self._connect()
            return self._connected

    def _connect(self) -> _Connected:
        about = embedded_about(self._address, self._secret)
        writer = Writer(self._clients, retry_s=self._retry_s, on_retry=self._on_retry)
        if about is None:
            return _Connected(self._clients, writer, None, embedded=False, columns=self._columns())
        can_write = about.get("role") == "writer"
        readers = Clients(self._address, keys.reader_key(self._secret)) if can_write else self._clients
        folder = Path(str(about["segment_dir"]))
        return _Connected(
            readers, writer if can_write else None, folder if folder.is_dir() else None, embedded=True, columns=self._columns()
        )

    def _columns(self) -> dict[str, str]:
        try:
            columns = present_columns(self._rows)
        except StoreRejected as error:
            if self._live is None or error.code != UNKNOWN_DATABASE:
                raise
            columns = {}
        if not columns:
            raise self._no_table()
        return columns

    def _no_table(self) -> FlowgaugeError:
        database = self._address.database
        if self._live is None:
            return StoreUnavailable(f"database {database!r} has no table of flows yet: `migrate` makes it")
        return UsageError(f"there is no dataset {database.rpartition(datasets.MARK)[2]!r}; `flowgauge datasets` lists them")

    def _planner(self) -> Planner:
        return Planner(self._ready().columns)

    def _read(self, statement: Statement) -> pa.Table:
        there = self._ready()
        settings = None if there.embedded else _READ_SETTINGS
        with there.readers.use(reading=True) as client:
            data = client.raw_query(statement.sql, statement.params, settings=settings, fmt="ArrowStream")
        return pa.ipc.open_stream(data).read_all()

    def _rows(self, sql: str) -> list[list[str]]:
        with self._clients.use() as client:
            text = client.raw_query(sql).decode()
        return [line.split("\t") for line in text.splitlines()]

    def _create_database(self) -> None:
        clients = Clients(replace(self._address, database="default"), self._secret)
        with clients.use() as client:
            client.command(f"CREATE DATABASE IF NOT EXISTS `{self._address.database}`")
        clients.close()


_STATUS = """SELECT version() AS version, toUInt64(sum(rows)) AS rows, toUInt64(sum(bytes_on_disk)) AS disk_bytes,
  count() AS parts,
  toInt64(if(count() = 0, 0, toUnixTimestamp(min(min_time)))) * 1000 AS oldest_ms,
  toInt64(if(count() = 0, 0, toUnixTimestamp(max(max_time)))) * 1000 AS newest_ms,
  (SELECT count() FROM system.detached_parts WHERE database = currentDatabase()) AS detached
FROM system.parts WHERE database = currentDatabase() AND table = 'flows' AND active"""
