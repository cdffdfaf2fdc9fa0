# SPDX-License-Identifier: Apache-2.0
"""``flowgauge config``: checks a FlowCollector document and shows the settings that hold."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowgauge.cli.options import output_option

if TYPE_CHECKING:
    from flowgauge.config.check import Finding
    from flowgauge.config.effective import Flag, Setting

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Checks a FlowCollector document; shows each setting and where it is from.\n\n"
    "Examples:\n\n  flowgauge config check flowcollector.yaml\n\n  flowgauge config show -f flowcollector.yaml",
)

_WIDTH = 110
_PLAIN = re.compile(r"[A-Za-z/][\w./-]*|\d+[a-z]+")
_QUOTED_WORDS = {"true", "false", "null", "none", "yes", "no", "on", "off", "y", "n"}
_MARKS = {"does": " ", "not yet": "○", "warning": "!"}


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="FlowCollector document (YAML or JSON); its bare spec: will do.")],
    output: Annotated[str, output_option("text, or json for programs.", "text", "json")] = "text",
) -> None:
    """Says what each line of a document will do, and what this build cannot do yet.

    Exit status 0 when the document is valid, warnings included; 2 when it has problems, and all of them are listed.

    Examples:
      flowgauge config check flowcollector.yaml
      flowgauge config check flowcollector.yaml -o json |
        jq '.findings[] | select(.kind != "does")'
    """
    from flowgauge.config.check import check as findings_of
    from flowgauge.config.load import load
    from flowgauge.errors import UsageError
    from flowgauge.run.on_host import on_this_host

    if output not in ("text", "json"):
        raise UsageError(f"--output {output}: there are text and json")
    loaded = load(file)
    findings = findings_of(loaded, on_this_host(loaded.document.spec))
    if output == "json":
        print(
            json.dumps(
                {"source": loaded.source, "notes": loaded.notes, "findings": [_as_dict(one) for one in findings]}, indent=1
            )
        )
        return
    for text in _report(findings):
        print(text)
    for note in loaded.notes:
        print(f"note: {note}")
    print(_verdict(str(file), findings))


@app.command()
def show(
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="The document; default: the running instance's, if any.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="PATH=VALUE over everything else; repeatable.")] = None,
    only_set: Annotated[bool, typer.Option("--only-set", help="Leave defaults out.")] = False,
) -> None:
    """Prints each effective value and where it came from: flag, FLOWGAUGE_… variable, document or default.

    The output is a valid document. Variables are named after the path, with two underscores between levels:
    FLOWGAUGE_EXPORTER__EXPORT_INTERVAL=1s sets spec.exporter.exportInterval.

    Examples:
      flowgauge config show -f flowcollector.yaml
      FLOWGAUGE_LOG_LEVEL=debug flowgauge config show --only-set
      flowgauge config show --set exporter.sampling=100 | grep sampling
    """
    from flowgauge.config.effective import DEFAULT, effective

    document = file or _running_document()
    found = effective(document, parse_flags(settings or []))
    for note in found.loaded.notes:
        print(f"# {note}")
    if file is None and document is not None:
        print(f"# of the running instance: {document}")
    for line in _as_yaml(setting for setting in found.settings() if not only_set or setting.origin != DEFAULT):
        print(line)


def parse_flags(texts: list[str]) -> tuple[Flag, ...]:
    """The settings of repeated ``--set PATH=VALUE``; UsageError for what is none."""
    from flowgauge.config import yaml_text
    from flowgauge.config.effective import Flag
    from flowgauge.errors import UsageError

    flags: list[Flag] = []
    for text in texts:
        path, separator, value = text.partition("=")
        if not separator or not path:
            raise UsageError(f"--set {text!r}: write PATH=VALUE, as exporter.sampling=100")
        documents = yaml_text.parse(value, f"--set {path}")
        full = path if path.startswith("spec.") else f"spec.{path}"
        flags.append(Flag(f"--set {path}", full, documents[0].value if documents else ""))
    return tuple(flags)


def _running_document() -> Path | None:
    from flowgauge.runtime import instance

    running = instance.find()
    document = running.extra.get("document", "") if running else ""
    return Path(document) if document else None


def _as_dict(finding: Finding) -> dict[str, Any]:
    return {"path": finding.path, "value": finding.value, "line": finding.line, "kind": finding.kind, "text": finding.text}


def _report(findings: list[Finding]) -> Iterator[str]:
    """A heading for each field, its sentences below; the mark says whether it is an effect, a limit or a warning."""
    place = ""
    for finding in findings:
        if finding.path != place:
            place = finding.path
            where = f"line {finding.line}" if finding.line else "default"
            yield f"{where:>8}  {place.removeprefix('spec.')}: {_yaml(finding.value)}"
        lead = {"does": "", "not yet": "not yet: ", "warning": "warning: "}[finding.kind]
        yield textwrap.fill(
            lead + finding.text, _WIDTH, initial_indent=f"        {_MARKS[finding.kind]} ", subsequent_indent=" " * 10
        )


def _verdict(file: str, findings: list[Finding]) -> str:
    limits = sum(finding.kind == "not yet" for finding in findings)
    warnings = sum(finding.kind == "warning" for finding in findings)
    parts = [
        f"{limits} thing{'s' * (limits != 1)} this build cannot do yet (○)" if limits else "",
        f"{warnings} warning{'s' * (warnings != 1)} (!)" if warnings else "",
    ]
    return f"{file}: valid" + "".join(f", {part}" for part in parts if part)


def _as_yaml(settings: Iterable[Setting]) -> Iterator[str]:
    """Settings as a document, each value with its origin behind it."""
    shown: list[str] = []
    for setting in settings:
        *sections, name = setting.path.split(".")
        for depth, section in enumerate(sections):
            if shown[: depth + 1] != sections[: depth + 1]:
                yield f"{'  ' * depth}{section}:"
        shown = sections
        line = f"{'  ' * len(sections)}{name}: {_yaml(setting.value)}"
        yield f"{line:<56} # {setting.origin}"


def _yaml(value: Any) -> str:
    """A value on one line; words that YAML 1.1 takes for something else keep their quotes."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _QUOTED_WORDS:
        return value
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_yaml(key)}: {_yaml(item)}' for key, item in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)
