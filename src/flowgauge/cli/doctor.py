# SPDX-License-Identifier: Apache-2.0
"""``flowgauge doctor``: what this machine has of what Flowgauge needs, and what its kernel gives an agent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from flowgauge.agent.kernel_probes import Answer
    from flowgauge.run.doctor import Finding


def doctor(
    kernel: Annotated[bool, typer.Option("--kernel", help="Try every hook that an agent uses on this kernel.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="The data folder to look at; default: as run takes it.")] = None,
) -> None:
    """Tells what this machine has of what Flowgauge needs, and what to do about the rest. Changes nothing.

    Exit status 1 when something that is needed by all is missing; notes are about what some can do without.
    With --kernel each hook is tried and answers yes, no, or ? when it cannot be told (mostly for lack of root): exit
    status 1 when agents have no way to observe here at all.

    Examples:
      flowgauge doctor
      sudo flowgauge doctor --kernel
      sudo flowgauge doctor --kernel --json |
        jq '.[] | select(.support != "available")'
    """
    import dataclasses
    import json

    if kernel:
        from flowgauge.agent.kernel_probes import answers, can_observe

        hooks = answers()
        lines, well, told = _kernel_lines(hooks), can_observe(hooks), [dataclasses.asdict(one) for one in hooks]
    else:
        from flowgauge.run.doctor import Verdict, findings

        found = findings(data_dir)
        well = all(one.verdict is not Verdict.FAIL for one in found)
        lines, told = _machine_lines(found), [dataclasses.asdict(one) for one in found]
    print(json.dumps(told, indent=1) if as_json else "\n".join(lines))
    if not well:
        raise typer.Exit(1)


def _machine_lines(found: list[Finding]) -> list[str]:
    width = max(len(one.name) for one in found)
    return [f"{one.verdict:4}  {one.name:{width}}  {one.detail}{f' → {one.remedy}' if one.remedy else ''}" for one in found]


def _kernel_lines(found: list[Answer]) -> list[str]:
    import platform

    from flowgauge.ebpf.signal_hooks import Support

    words = {Support.AVAILABLE: "yes", Support.NOT_SUPPORTED: "no", Support.COULD_NOT_TELL: "?"}
    width = max(len(one.hook) for one in found)
    lines = [f"Linux {platform.release()} on {platform.machine()}"]
    for one in found:
        lines.append(
            f"{words[one.support]:3}  {one.hook:{width}}  since Linux {one.since}{f': {one.detail}' if one.detail else ''}"
        )
        if one.support is not Support.AVAILABLE:
            lines.append(f"     {'':{width}}  without it: {one.without}")
    return lines
