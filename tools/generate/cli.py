# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reference/cli.md: the help of every verb, as the command prints it. ``--check`` fails when it differs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from _target import REFERENCE, finish

from flowgauge.cli.main import VERBS, real_command

_WIDTH = 100

_HEAD = """<!-- Written by tools/generate/cli.py from the code: do not edit. -->
# Command line

`./flowgauge` at the repository's root needs no activated environment; an installed wheel has the command `flowgauge`.

**Exit status**: 0; 1 a check failed, or a mistake of ours; 2 the user is wrong; 3 this machine lacks something;
130 interrupted. What went wrong is one sentence on standard error.

**Settings** come from flag, `FLOWGAUGE_…` variable, document, default, in this order: [Configuration](configuration.md).

**Completion**: `flowgauge --install-completion` for bash, zsh or fish, from that shell. The Tab key then ends verbs, options,
files, column lists, and filters as you type them, in quotes or not; values come from the running instance.
"""


def text() -> str:
    """The whole page."""
    parts = [_HEAD]
    for verb in VERBS:
        parts += [f"## flowgauge {verb.name}\n", f"{verb.summary}\n"]
        parts += _helps(real_command(verb), f"flowgauge {verb.name}")
    return "\n".join(parts)


def _helps(command: Any, path: str) -> Iterator[str]:
    children = getattr(command, "commands", {})
    yield f"```text\n{_help(command, path)}\n```\n"
    for name, child in children.items():
        yield f"### {path} {name}\n"
        yield from _helps(child, f"{path} {name}")


def _help(command: Any, path: str) -> str:
    context = command.make_context(path, [], resilient_parsing=True, terminal_width=_WIDTH, max_content_width=_WIDTH,
                                   help_option_names=["-h", "--help"])  # fmt: skip
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines()).rstrip()


if __name__ == "__main__":
    sys.exit(finish(REFERENCE / "cli.md", text()))
