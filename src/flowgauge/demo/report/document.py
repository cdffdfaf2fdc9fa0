# SPDX-License-Identifier: Apache-2.0
"""The report as JSON (``--report``) and as lines for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flowgauge.demo.report.checks import Check, Findings
from flowgauge.demo.report.edges import rows
from flowgauge.demo.report.score import Score
from flowgauge.errors import UsageError


def document(found: Findings, checks: Sequence[Check]) -> dict[str, Any]:
    """The whole report."""
    return {
        "setup_s": round(found.setup_s, 2),
        "first_named_flow_s": None if found.first_named_flow_s is None else round(found.first_named_flow_s, 2),
        "visible_s": None if found.visible_s is None else round(found.visible_s, 2),
        "sampling": found.sampling,
        "export_interval_s": found.interval_s,
        "nodes": found.nodes,
        "pods": found.pods,
        "edges": rows(found.edges),
        "accuracy": found.accuracy.rows(),
        "transfer": found.transfer.summary() if found.transfer else None,
        "identity": found.identity.summary(),
        "ledger": found.balance.summary(),
        "signals": [asdict(score) for score in found.signals],
        "checks": [asdict(check) for check in checks],
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes the report; UsageError when the file cannot be written."""
    try:
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the report cannot be written to {path}: {error.strerror}") from error


def lines(found: Findings, checks: Sequence[Check]) -> list[str]:
    """What is printed at the end: every check, signals that are scored and not checked, and one line that sums up."""
    names = {check.name for check in checks}
    scores = [score for score in found.signals if score.name not in names] if found.measures_signals else []
    width = max(map(len, [*names, *(score.name for score in scores)]))
    failed = sum(not check.held for check in checks)
    table = [f"  {'ok  ' if check.held else 'FAIL'}  {check.name:<{width}}  {check.detail}" for check in checks]
    flows = f"{found.balance.stored:,} flows of {found.pods} pods on {found.nodes} nodes"
    verdict = f"{failed} of {len(checks)} checks did not hold" if failed else f"all {len(checks)} checks held"
    table += [f"  --    {score.name:<{width}}  {_both(score)}" for score in scores]
    return [*table, f"{flows}: {verdict}"]


def _both(score: Score) -> str:
    return f"{score.measured:g} {score.where}, {score.truth:g} by {score.source}, off by {score.error:g}"
