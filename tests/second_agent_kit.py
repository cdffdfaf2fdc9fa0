# SPDX-License-Identifier: Apache-2.0
"""For tests: the flow program of another process on devices of a network namespace, as a second agent has it there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROGRAM = """
import json, socket, sys
sys.path.insert(0, sys.argv[1])
from ebpf_kit import flows, loaded, touched
from flowgauge.runtime import linux, logs
linux.enter_netns(sys.argv[2])
with logs.captured() as lines, loaded(max_flows=4096, **json.loads(sys.argv[3])) as program:
    hooks = [program.attach(socket.if_nametoindex(name)) for name in sys.argv[4:]]
    print(json.dumps([line["event"] for line in lines]), flush=True)
    sys.stdin.readline()
    for hook in hooks:
        hook.detach()
    not_ip = {socket.if_indextoname(index): seen.packets for index, seen in program.not_ip().items()}
    print(json.dumps({"rows": flows(program.evict()), "seen": touched(program.counters()), "not_ip": not_ip}), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What an agent counted.

    Attributes:
        rows: as ``ebpf_kit.flows`` has them.
        seen: as ``ebpf_kit.touched``.
        not_ip: frames by the name of the device.
    """

    rows: list[dict[str, Any]]
    seen: dict[str, int]
    not_ip: dict[str, int]

    def packets(self, ifindex: int) -> int:
        """Of the flows that a device saw."""
        at_it = {f"{ifindex} in", f"{ifindex} out"}
        return sum(row["packets"] for row in self.rows if at_it.intersection(row["observed"]))


class SecondAgent:
    """It counts from now on; ``said``: the events that it logged when it began."""

    def __init__(self, netns: str, devices: Sequence[str], options: dict[str, Any]) -> None:
        here = str(Path(__file__).parent)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, here, netns, json.dumps(options), *devices],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.said: list[str] = self._line()

    def told(self) -> Told:
        """Takes its hooks away; what it counted until then."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return Told(**self._line())

    def kill(self) -> None:
        """As ``kill -9``."""
        self.process.kill()
        self.process.communicate()

    def _line(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the second agent ended"
        return json.loads(line)


@contextmanager
def second_agent(netns: str, devices: Sequence[str], **options: Any) -> Iterator[SecondAgent]:
    """Another process that counts at ``devices`` with ``ProgramOptions(**options)``."""
    running = SecondAgent(netns, devices, options)
    try:
        yield running
    finally:
        running.kill()
