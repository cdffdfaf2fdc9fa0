# SPDX-License-Identifier: Apache-2.0
"""``flowgauge datasets``: the named datasets beside the live flows; lists them, or removes one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flowgauge.cli.options import output_option


def datasets(  # noqa: PLR0917 - typer passes options by name
    remove: Annotated[str, typer.Option(metavar="NAME", help="Remove this dataset and its flows for good.")] = "",
    output: Annotated[str, output_option("table or json.", "table", "json")] = "table",
    url: Annotated[str, typer.Option(help="Console to ask for the list; default: the one that runs here.")] = "",
    token_file: Annotated[Path | None, typer.Option(help="File with that console's token; default: none.")] = None,
    store_url: Annotated[str, typer.Option(help="With --remove: the store, http://host:port.")] = "",
    store_secret_fd: Annotated[int, typer.Option(help="With --remove: descriptor with the store's secret; -1: none.")] = -1,
) -> None:
    r"""Lists named datasets: flows that stay until they are removed, whatever their age.

    `flowgauge collect --read --dataset NAME` makes them.

    Examples:
      flowgauge datasets
      flowgauge flows --dataset office-2024 --by src_addr,dst_addr
      flowgauge datasets --remove office-2024 \
        --store-url http://127.0.0.1:8123 --store-secret-fd 3 3< secret
    """
    from flowgauge.errors import UsageError

    if output not in ("table", "json"):
        raise UsageError(f"--output {output} is neither table nor json")
    if remove:
        _remove(remove, store_url, store_secret_fd)
    else:
        _list(url, token_file, output)


def _remove(name: str, store_url: str, store_secret_fd: int) -> None:
    from flowgauge.cli.secret_input import behind
    from flowgauge.errors import UsageError
    from flowgauge.store.opening import open_store

    if not store_url:
        raise UsageError("--remove needs --store-url and the store's secret: a console may only read")
    store = open_store(store_url, behind("--store-secret-fd", store_secret_fd) if store_secret_fd >= 0 else "")
    try:
        store.remove_dataset(name)
    finally:
        store.close()
    print(f"dataset {name} removed")


def _list(url: str, token_file: Path | None, output: str) -> None:
    import json

    from flowgauge.cli.api import connect

    found: list[dict[str, Any]] = connect(url, token_file).get("datasets", {})["datasets"]
    print(json.dumps(found, indent=1) if output == "json" else "\n".join(_lines(found)))


def _lines(found: list[dict[str, Any]]) -> list[str]:
    from flowgauge.cli.table import Column, Screen, fitted, heading, line

    if not found:
        return ["no datasets; `flowgauge collect --read --dataset NAME FILE…` makes one"]
    columns = (
        Column("dataset", least=9, style="name"), Column("flows", right=True), Column("on disk", right=True),
        Column("oldest", least=19), Column("newest", least=19),
    )  # fmt: skip
    rows = [_cells(one) for one in found]
    screen = Screen.of_output()
    layout = fitted(columns, rows, screen.width)
    return [heading(columns, layout, screen), *(line(columns, layout, cells, screen) for cells in rows)]


def _cells(one: dict[str, Any]) -> list[str]:
    from flowgauge.cli.units import number, size

    times = [_day_and_time(one[name]) if one["flows"] else "" for name in ("oldest_ms", "newest_ms")]
    return [one["name"], number(one["flows"]), size(one["disk_bytes"]), *times]


def _day_and_time(ms: int) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
