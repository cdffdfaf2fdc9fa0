# SPDX-License-Identifier: Apache-2.0
"""``flowgauge store``: the embedded store's process. People rarely start it themselves: ``flowgauge run`` does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowgauge.cli.options import LogLevel

if TYPE_CHECKING:
    from flowgauge.schema.column import Stored


def store(  # noqa: PLR0917 - typer passes options by name
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Folder of the store; made when missing.")],
    secret_fd: Annotated[int, typer.Option("--secret-fd", help="Open descriptor from which the secret is read.")],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    retention_hours: Annotated[int, typer.Option("--retention-hours", min=1, help="How long flows are kept.")] = 168,
    groups: Annotated[
        str | None,
        typer.Option(
            "--groups",
            help="Column groups to store beside the core, by commas; by default those that the first questions need.",
        ),
    ] = None,
    memory_mib: Annotated[int, typer.Option("--memory-mib", min=512, help="What the engine may use, in MiB.")] = 2048,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of one query.")] = 2,
    segment_dir: Annotated[Path | None, typer.Option("--segment-dir", help="Where segments are handed over.")] = None,
    ready_fd: Annotated[int, typer.Option("--ready-fd", help="Descriptor to which the port is written when ready.")] = -1,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Document with the log level; SIGHUP reads it again.")
    ] = None,
    log_level: LogLevel = "",
) -> None:
    r"""Runs the embedded store: ClickHouse's HTTP interface on 127.0.0.1, behind a secret.

    Example:
      flowgauge store --data-dir /var/lib/flowgauge/store --port 8123 \
        --secret-fd 3 3< secret
    """
    from flowgauge.cli.log_level import follow
    from flowgauge.cli.secret_input import behind
    from flowgauge.store.clickhouse.child import StoreSettings, run_store
    from flowgauge.store.clickhouse.engine import Limits

    follow("store", file, log_level)
    secret = behind("--secret-fd", secret_fd)
    _check_open("--ready-fd", ready_fd)
    run_store(
        StoreSettings(
            data_dir=data_dir, secret=secret, port=port, retention_hours=retention_hours, groups=_groups(groups),
            segment_dir=segment_dir, ready_fd=ready_fd,
            limits=Limits(memory_bytes=memory_mib << 20, query_memory_bytes=memory_mib << 19, threads=threads),
        )
    )  # fmt: skip


def _check_open(option: str, descriptor: int) -> None:
    from flowgauge.errors import UsageError

    try:
        if descriptor >= 0:
            os.fstat(descriptor)
    except OSError as error:
        raise UsageError(f"{option} {descriptor}: {error.strerror}") from error


def _groups(text: str | None) -> tuple[Stored, ...]:
    from flowgauge.config.storage import SWITCHED
    from flowgauge.errors import UsageError
    from flowgauge.schema.column import Stored
    from flowgauge.schema.columns import DEFAULT_GROUPS

    if text is None:
        return DEFAULT_GROUPS
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in SWITCHED]:
        raise UsageError(f"--groups: there is no group {unknown[0]!r}; there are {', '.join(SWITCHED)}")
    return tuple(map(Stored, wanted))
