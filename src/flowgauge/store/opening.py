# SPDX-License-Identifier: Apache-2.0
"""Which store an address means."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flowgauge.errors import UsageError
from flowgauge.schema.column import Stored
from flowgauge.schema.columns import DEFAULT_GROUPS
from flowgauge.store.store import FlowStore


def open_store(url: str, secret: str, *, groups: Iterable[Stored] = DEFAULT_GROUPS, retention_hours: int = 7 * 24,
               retry_s: float = 10.0, on_retry: Callable[[], None] | None = None) -> FlowStore:  # fmt: skip
    """The store at ``url``; connects at first use.

    Args:
        url: ``http://127.0.0.1:PORT`` of the embedded store, or ``http(s)://user@host:port/database`` of a ClickHouse
            server.
        secret: of the embedded store its secret or its reader's key; of a server the user's password.
        groups: column groups to which ``migrate`` brings a server; the embedded store migrates itself at its start.
        retention_hours: the same for the age at which a server drops flows.
        retry_s: how long ``write`` tries again by itself before it raises StoreUnavailable.
        on_retry: called for each such retry, to count it.
    """
    scheme = url.partition(":")[0]
    if scheme in ("http", "https", "clickhouse", "clickhouses"):
        from flowgauge.store.clickhouse.backend import ClickHouseStore  # noqa: PLC0415 - the client takes 0.5 s to import
        from flowgauge.store.clickhouse.client import parse_address  # noqa: PLC0415

        return ClickHouseStore(
            parse_address(url),
            secret,
            groups=tuple(groups),
            retention_hours=retention_hours,
            retry_s=retry_s,
            on_retry=on_retry,
        )
    raise UsageError(f"no store speaks {scheme!r}; give http://host:port of the embedded store or of a ClickHouse server")
