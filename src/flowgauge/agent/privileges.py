# SPDX-License-Identifier: Apache-2.0
"""What the kernel asks of a process that loads and attaches eBPF programs, checked before anything is tried."""

from __future__ import annotations

from pathlib import Path

from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import capabilities

_STATUS = Path("/proc/self/status")
_CAP_NET_ADMIN, _CAP_NET_RAW, _CAP_SYS_ADMIN, _CAP_SYS_RESOURCE, _CAP_PERFMON, _CAP_BPF = 12, 13, 21, 24, 38, 39


def effective() -> int:
    """The calling process's effective capabilities, as a bit mask."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def missing(held: int, *, netns: bool) -> list[str]:
    """Names of what ``held``, a bit mask, lacks.

    CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON, as before Linux 5.8. Entering another network namespace (``netns``)
    needs CAP_SYS_ADMIN itself.
    """

    def has(number: int) -> bool:
        return bool(held >> number & 1)

    lacking: list[str] = []
    if not (has(_CAP_BPF) or has(_CAP_SYS_ADMIN)):
        lacking.append("CAP_BPF")
    if not (has(_CAP_PERFMON) or has(_CAP_SYS_ADMIN)):
        lacking.append("CAP_PERFMON")
    if not has(_CAP_NET_ADMIN):
        lacking.append("CAP_NET_ADMIN")
    if netns and not has(_CAP_SYS_ADMIN):
        lacking.append("CAP_SYS_ADMIN (to enter another network namespace)")
    return lacking


def may_capture() -> bool:
    """Whether packets may be captured by a packet socket, without eBPF."""
    return bool(effective() >> _CAP_NET_RAW & 1)


def require(*, netns: bool) -> None:
    """Raises EnvironmentProblem that names what is missing and how to get it."""
    lacking = missing(effective(), netns=netns)
    if lacking:
        raise EnvironmentProblem(sentence(lacking))


def needed(held: int, *, netns: bool) -> set[int]:
    """Which of the capabilities ``held`` an agent uses while it runs; docs/reference/capabilities.md says for what.

    Attaching to new devices and loading another program when the document changes need the same as the start does.
    """
    found = {_CAP_NET_ADMIN, _CAP_NET_RAW, _CAP_PERFMON, _CAP_BPF}
    own = 1 << _CAP_BPF | 1 << _CAP_PERFMON
    if held & own != own:  # CAP_SYS_ADMIN stands for them, as before Linux 5.8, where locked memory counts as well
        found |= {_CAP_SYS_ADMIN, _CAP_SYS_RESOURCE}
    return found | {_CAP_SYS_ADMIN} if netns else found


def give_up_the_rest(*, netns: bool) -> None:
    """Keeps of this process's capabilities only what an agent needs; to be called before it has threads."""
    held = effective()
    capabilities.keep_only(needed(held, netns=netns), held)


def sentence(lacking: list[str]) -> str:
    """``flowgauge agent needs CAP_BPF and CAP_NET_ADMIN (run it as root, or …)``."""
    named = " and ".join([", ".join(lacking[:-1]), lacking[-1]] if len(lacking) > 1 else lacking)
    return (
        f"flowgauge agent needs {named} "
        "(run it as root, or in a systemd unit give AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN)"
    )
