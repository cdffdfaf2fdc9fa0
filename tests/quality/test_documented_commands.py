# SPDX-License-Identifier: Apache-2.0
"""What pages, help texts and messages tell people to type is a command line that there is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from flowgauge.cli.main import VERBS, real_command

ROOT = Path(__file__).parents[2]
BY_NAME = {verb.name: verb for verb in VERBS}
COMMAND = re.compile(r"(?:^|[` $])(?:\./)?flowgauge ([a-z][^`\"\n]*)", re.MULTILINE)
END = re.compile(r"\s(?:#|\||<|>|\d?<)|; |\\n")
"""A comment, a pipe, a redirection, the next command, the next line."""

command_of = cache(real_command)


def documented() -> Iterator[tuple[str, list[str]]]:
    """Where it stands, and the words behind ``flowgauge``, which begin with a verb."""
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.py")):
        for found in COMMAND.finditer(path.read_text(encoding="utf-8")):
            text = END.split(found[1])[0]
            try:
                words = shlex.split(text)
            except ValueError:  # a quote that ends on the next line
                words = text.split()
            if words and words[0] in BY_NAME:
                yield f"{path.relative_to(ROOT)}: flowgauge {text}", words


def options_of(words: list[str]) -> set[str]:
    """The options of the command that the words begin with."""
    command: Any = command_of(BY_NAME[words[0]])
    inner = getattr(command, "commands", {}).get(next(iter(words[1:]), ""))
    known = {name for parameter in (inner or command).params for name in (*parameter.opts, *parameter.secondary_opts)}
    return known | {"--help", "-h"}


def test_every_option_of_a_documented_command_line_exists() -> None:
    wrong, seen = [], 0
    for where, words in documented():
        known, seen = options_of(words), seen + 1
        used = (word.partition("=")[0].rstrip(",.:)") for word in words[1:])
        wrong += [f"{where}: {word}" for word in used if re.fullmatch(r"--[a-z-]+|-[a-z]", word) and word not in known]
    assert seen > 300
    assert not wrong
