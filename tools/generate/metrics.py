# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reference/metrics.md: every name on /metrics, from the ledger and the samples in the code.

``--check`` fails when the file differs. Samples are found by reading the sources (each is written ``Sample("name", "help")``),
so that a new one cannot be forgotten here.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from _target import REFERENCE, ROOT, finish

from flowgauge.runtime.ledger import COUNTERS, Counter

SOURCES = ROOT / "src/flowgauge"
TARGET = REFERENCE / "metrics.md"

_HEAD = """<!-- Written by tools/generate/metrics.py from the code: do not edit. -->
# Metrics

Each part answers `GET /metrics` in the Prometheus text format: the collector on port 9055, an agent on 9056. Every metric has
the labels `component` and `instance`; an instance's name ends in its start time, so a restart is a new one.

## Ledger

Every place where a flow can be lost, thinned or marked has a counter, with the same name in logs, in the API
(`/api/v1/ledger`), in the footers of the command line and in the store. *Side* is where it stands in its sum:
offered = kept + lost + chosen (left out on purpose); a note explains another counter.
"""


@dataclass(frozen=True)
class Found:
    """A sample in the code: the package that makes it, and what it says of itself."""

    package: str
    name: str
    help: str
    labels: tuple[str, ...]
    cumulative: bool

    @property
    def metric(self) -> str:
        """The name as Prometheus shows it."""
        return f"flowgauge_{self.name}{'_total' if self.cumulative else ''}"


def samples() -> Iterator[Found]:
    """Every ``Sample(…)`` of the sources, in their order."""
    for path in sorted(SOURCES.rglob("*.py")):
        package = path.relative_to(SOURCES).parts[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            target.id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Sample":
                yield _found(package, node, names)


def _found(package: str, call: ast.Call, names: dict[str, ast.expr]) -> Found:
    given = dict(zip(("name", "help", "value", "labels", "cumulative"), call.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    given = {key: names.get(value.id, value) if isinstance(value, ast.Name) else value for key, value in given.items()}
    labels = given.get("labels")
    keys = labels.keys if isinstance(labels, ast.Dict) else []
    return Found(
        package,
        _literal(given["name"]),
        _literal(given["help"]),
        tuple(_literal(key) for key in keys if key is not None),
        bool(ast.literal_eval(given["cumulative"])) if "cumulative" in given else False,
    )


def _literal(node: ast.expr) -> str:
    """A text that is written out; a sample whose name is computed cannot be documented."""
    return str(ast.literal_eval(node))


def text() -> str:
    """The whole page."""
    lines = [_HEAD, "| metric | unit | side | by | meaning |", "| --- | --- | --- | --- | --- |"]
    lines += [_ledger_line(counter) for counter in COUNTERS]
    found = sorted({sample.metric: sample for sample in samples()}.values(), key=lambda sample: sample.metric)
    lines += ["", "## Beside the ledger", "", "| metric | kind | further labels | meaning |", "| --- | --- | --- | --- |"]
    lines += [_sample_line(sample) for sample in found]
    return "\n".join([*lines, ""])


def _ledger_line(counter: Counter) -> str:
    part = "agent" if counter.enterprise or counter.name.startswith("heads_") else "collector"
    part = "both" if counter.name == "clock_steps" else part
    return f"| `flowgauge_{counter.name}_total` | {counter.unit} | {counter.side} | {part} | {counter.help} |"


def _sample_line(sample: Found) -> str:
    labels = ", ".join(f"`{label}`" for label in sample.labels)
    return f"| `{sample.metric}` | {'counter' if sample.cumulative else 'gauge'} | {labels} | {sample.help} |"


if __name__ == "__main__":
    sys.exit(finish(TARGET, text()))
