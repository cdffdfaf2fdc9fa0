# SPDX-License-Identifier: Apache-2.0
"""Options and arguments that several verbs have, each declared once: same name, same words, same completion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flowgauge.cli.completion import column_list, filter_words, words

_LEVELS = ("trace", "debug", "info", "warning", "error")


def filter_argument(help_: str) -> Any:
    """Words of a filter, in quotes or not."""
    return typer.Argument(metavar="[FILTER]", help=help_, autocompletion=filter_words)


def output_option(help_: str, *formats: str) -> Any:
    """``--output``, one of ``formats``."""
    return typer.Option("--output", "-o", help=help_, autocompletion=words(*formats))


def columns_option(help_: str) -> Any:
    """Column names, separated by commas."""
    return typer.Option(help=help_, autocompletion=column_list)


Filter = Annotated[list[str] | None, filter_argument("Which flows; all when left out.")]
Url = Annotated[str, typer.Option("--url", help="Console to ask; by default the one that runs here.")]
TokenFile = Annotated[Path | None, typer.Option("--token-file", help="File with that console's token.")]
LogLevel = Annotated[
    str, typer.Option("--log-level", help="trace, debug, info, warning or error.", autocompletion=words(*_LEVELS))
]
