# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001, T201 - beside the programs that use it, and prints for them
"""What programs share that hold our decoder against tshark: its trees of datagrams, and the loop until something differs."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captures_of import PORT, Sent, pcap

FAILURES = Path(__file__).parents[1] / "reports/fuzz"
MOST_SHOWN = 20
"""Differences printed of a batch; all are in the file."""
MOST_TOLD = 3000
"""Characters of a record."""
_WHOLE = ("ip.defragment", "ipv6.defragment", "tcp.desegment_tcp_streams")
"""What would make one datagram's reading depend on others."""

Pairs = list[tuple[str, Any]]
"""An object of tshark's JSON; names may repeat."""


Place = tuple[int, int]
"""Number of the datagram in the batch, and a byte in it."""


@dataclass(frozen=True)
class Difference:
    """One place where the two differ; ``what``: a column, or what there are more of; ``record``: what tshark shows there."""

    place: Place
    what: str
    ours: Any
    theirs: Any
    record: Mapping[str, Any]

    def __str__(self) -> str:
        where = f"datagram {self.place[0]}, byte {self.place[1]}"
        return f"{where}: {self.what}: ours {self.ours}, tshark {self.theirs}; {dict(self.record)!s:.{MOST_TOLD}}"


@dataclass(frozen=True)
class Compared:
    """A batch: what was sent, where the two differ, and sums to be told."""

    sent: Sequence[Sent]
    differences: Sequence[Difference]
    totals: Mapping[str, int]


Known = Sequence[tuple[str, Callable[[Difference], bool]]]
"""Why the two may differ, and how such a difference is told; the first that fits counts."""


def trees(sent: Sequence[Sent], protocol: str) -> list[Pairs]:
    """The layers of each datagram as tshark's dissector of a protocol sees it; other layers are empty."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "batch.pcap"
        path.write_bytes(pcap(sent))
        command = ["tshark", "-n", "-r", str(path), "-d", f"udp.port=={PORT},{protocol}", "-T", "json", "-J", protocol]
        command += [word for name in _WHOLE for word in ("-o", f"{name}:FALSE")]
        output = subprocess.run(command, capture_output=True, check=True, timeout=300).stdout
    packets = json.loads(output, object_pairs_hook=lambda pairs: pairs)
    return [first(first(packet, "_source"), "layers") for packet in packets]


def first(pairs: Pairs, name: str) -> Any:
    """The first value of that name; nothing if there is none."""
    return next((value for key, value in pairs if key == name), [])


def ordered(pairs: Pairs) -> Iterator[tuple[str, str]]:
    """All names and values of a tree, in order."""
    for name, value in pairs:
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, list) and value and isinstance(value[0], tuple):
            yield from ordered(value)


def flat(pairs: Pairs) -> dict[str, list[str]]:
    """The same by name."""
    found: dict[str, list[str]] = {}
    for name, value in ordered(pairs):
        found.setdefault(name, []).append(value)
    return found


def until_differs(
    program: str,
    known: Known,
    comparing: Callable[[int], Callable[[random.Random], Compared]],
) -> int:
    """Compares batches for FUZZ_SECONDS (default 60) or until something differs for no known reason; the exit status.

    Args:
        program: its name, for what is printed and written.
        known: what may differ.
        comparing: makes of FUZZ_SEED what compares a batch.
    """
    until = time.monotonic() + float(os.environ.get("FUZZ_SECONDS", "60"))
    seed = int(os.environ.get("FUZZ_SEED", str(time.time_ns() % 1_000_000_000)))
    chance, totals, batch = random.Random(seed), Counter[str](), comparing(seed)  # noqa: S311 - the same again for a seed
    while time.monotonic() < until:
        compared = batch(chance)
        totals.update(compared.totals)
        unknown = []
        for each in compared.differences:
            reason = next((reason for reason, fits in known if fits(each)), None)
            if reason is None:
                unknown.append(each)
            else:
                totals[f"known: {reason}"] += 1
        if unknown:
            return _failed(program, unknown, compared.sent, seed)
    print(f"{program}: seed {seed}, " + ", ".join(f"{count:,} {name}" for name, count in totals.items()))
    return 0


def _failed(program: str, unknown: Sequence[Difference], sent: Sequence[Sent], seed: int) -> int:
    FAILURES.mkdir(parents=True, exist_ok=True)
    path = FAILURES / f"{program}_{seed}.pcap"
    path.write_bytes(pcap(sent))
    for each in unknown[:MOST_SHOWN]:
        print(each, file=sys.stderr)
    print(f"{program}: seed {seed}, {len(unknown)} differences: {path}", file=sys.stderr)
    return 1
