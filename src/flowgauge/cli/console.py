# SPDX-License-Identifier: Apache-2.0
"""``flowgauge console``: the web console and its API."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from flowgauge.cli.options import LogLevel


def console(  # noqa: PLR0917 - typer passes options by name
    store_url: Annotated[str, typer.Option("--store-url", help="The store: http://host:port.")],
    store_secret_fd: Annotated[
        int, typer.Option("--store-secret-fd", help="Descriptor with the store's secret; -1: none.")
    ] = -1,
    collector_url: Annotated[str, typer.Option("--collector-url", help="The collector's HTTP, for live flows.")] = "",
    address: Annotated[
        str, typer.Option("--address", help="Where to listen; beyond loopback a token is required.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="TCP port; 0 takes a free one.")] = 8055,
    token_file: Annotated[Path | None, typer.Option("--token-file", help="File with the token that clients must show.")] = None,
    token_fd: Annotated[int, typer.Option("--token-fd", help="Descriptor with that token; -1: none.")] = -1,
    agent: Annotated[
        list[str] | None, typer.Option(metavar="NODE=URL", help="An agent to ask for packets; repeatable.")
    ] = None,
    agent_token_file: Annotated[Path | None, typer.Option(help="File with the agents' token.")] = None,
    agent_token_fd: Annotated[int, typer.Option(help="Descriptor with that token; -1: none.")] = -1,
    cluster: Annotated[str, typer.Option("--cluster", help="Name shown on top of the page.")] = "",
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Document with the log level; SIGHUP reads it again.")
    ] = None,
    log_level: LogLevel = "",
) -> None:
    r"""Serves the web console and the API.

    Examples:
      flowgauge console --store-url http://127.0.0.1:8123 --store-secret-fd 3 \
        3< secret
        for this machine only

      flowgauge console --store-url http://127.0.0.1:8123 --address 0.0.0.0 \
        --token-file token
        for everybody who has the token

      flowgauge console --store-url http://127.0.0.1:8123 --store-secret-fd 3 \
        --agent node-a=http://127.0.0.1:9056 --agent-token-file agent-token \
        3< secret
        with packets of node-a
    """
    from flowgauge.cli.log_level import follow
    from flowgauge.console.main import run_console
    from flowgauge.console.settings import ConsoleSettings

    follow("console", file, log_level)
    settings = ConsoleSettings(
        store_url=store_url,
        store_secret=_behind("--store-secret-fd", store_secret_fd),
        collector_url=collector_url.rstrip("/"),
        address=address,
        port=port,
        token=_token(token_file, token_fd) or os.environ.get("FLOWGAUGE_CONSOLE_TOKEN", ""),
        cluster=cluster,
        agents=dict(map(_named, agent or ())),
        agent_token=_token(agent_token_file, agent_token_fd, "--agent-token"),
    )
    settings.check()
    run_console(settings)


def _named(text: str) -> tuple[str, str]:
    """Node and URL of ``--agent``."""
    from flowgauge.errors import UsageError

    node, equals, url = text.partition("=")
    if not (node and equals and url):
        raise UsageError(f"--agent {text!r}: write NODE=URL, as node-a=http://127.0.0.1:9056")
    return node, url.rstrip("/")


def _token(file: Path | None, descriptor: int, option: str = "--token") -> str:
    from flowgauge.cli.secret_input import in_file

    return in_file(f"{option}-file", file) if file is not None else _behind(f"{option}-fd", descriptor)


def _behind(option: str, descriptor: int) -> str:
    from flowgauge.cli.secret_input import behind

    return behind(option, descriptor) if descriptor >= 0 else ""
