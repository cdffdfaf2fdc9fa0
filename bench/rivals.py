# SPDX-License-Identifier: Apache-2.0
"""What receiving and decoding flows costs, of Flowgauge and of other collectors, on the same datagrams in one run.

CPU seconds per million flows, from real UDP sockets to decoded flows, lossless by each collector's own count: at 50,000 flows/s
and at the highest rate that each keeps up with. Rivals that are installed are measured: goflow2 (protobuf to /dev/null), nfcapd
and sfcapd (plain files), nfacctd and sfacctd of pmacct (sums in memory). Then IPFIX over TCP and TLS, for which none of them
listens.

CPU seconds per flow hold over machines of a kind; flows/s are this machine's, on which the sender runs, too.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rivals_kit import table
from rivals_kit.collectors import RIVALS, Collector, Flowgauge
from rivals_kit.inputs import KINDS, Input
from rivals_kit.processes import cores
from rivals_kit.runs import NotStartedError, Run, run
from rivals_kit.sender import Sender
from rivals_kit.streams import OverStream, OverTls, run_stream

EXAMPLES = """examples:
  python bench/rivals.py                       everything: about a quarter of an hour
  python bench/rivals.py --quick               one round, fewer flows: about four minutes
  python bench/rivals.py --inputs ipfix,sflow  only these kinds of datagrams
  python bench/rivals.py --rivals nfcapd --no-limit
  python bench/rivals.py --markdown page.md    also writes the table as a page's part
"""
HEADER_ALLOWANCE = 1.1
"""Flows made beyond those sent: the greeting's."""
SLOW = ("goflow2", "pmacct")
"""Collectors to which a tenth of the flows is enough to see their limit."""


SLOWER = 0.8
"""Of a rate that was not kept up with."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        offered: flows a run at ``per_s`` flows a second, ``rounds`` runs each.
        most: flows a run at the limit; 0: no such runs.
    """

    per_s: int
    offered: int
    rounds: int
    most: int

    @property
    def flows(self) -> int:
        """Flows that an input must have."""
        return int(max(self.offered, self.most) * HEADER_ALLOWANCE) + 5_000


def memcpy_gb_per_s() -> float:
    """How fast this machine copies memory: 8 MiB to and fro, the best of fifty."""
    source, target = np.ones(8 << 20, np.uint8), np.zeros(8 << 20, np.uint8)
    best = float("inf")
    for _ in range(50):
        begin = time.perf_counter()
        target[...] = source
        best = min(best, time.perf_counter() - begin)
    return len(source) / best / 1e9


def measured(given: Input, kinds: Sequence[type[Collector]], plan: Plan) -> Iterator[Run]:
    """All runs on one input, collectors in turn."""
    sender = Sender(given)
    try:
        for _ in range(plan.rounds):
            for kind in kinds:
                yield from _tried(kind, given, sender, plan.offered, plan.per_s)
        for _ in range(plan.rounds if plan.most else 0):
            for kind in kinds:
                yield from _tried(kind, given, sender, plan.most // 8 if kind.name in SLOW else plan.most, 0)
    finally:
        sender.close()


def _tried(kind: type[Collector], given: Input, sender: Sender, flows: int, per_s: float) -> Iterator[Run]:
    """One run; one that lost something is done once more, since others may use the cores: at the limit a bit slower."""
    at_limit = per_s == 0
    for _ in range(2):
        try:
            done = run(kind, given, sender, flows, per_s, at_limit=at_limit)
        except NotStartedError as error:
            print(f"  {error}", file=sys.stderr, flush=True)
            return
        print(f"  {table.line_of(done)}", file=sys.stderr, flush=True)
        if not done.flaw:
            break
        per_s = per_s or SLOWER * done.got / done.seconds
    yield done


def streamed(plan: Plan) -> list[str]:
    """IPFIX over TCP and TLS, the best of the rounds."""
    given = KINDS["ipfix"][0](plan.flows)
    lines = []
    for kind in (OverStream, OverTls):
        runs = [run_stream(kind, given, plan.most or plan.offered) for _ in range(plan.rounds)]
        best = min(runs, key=lambda one: one.per_million)
        flaw = f", LOSS: {best.flaw}" if best.flaw else ""
        lines.append(f"IPFIX over {kind.transport}, one connection: {best.per_million:.2f} CPU-s/M flows, "
                     f"{best.got / best.seconds:,.0f} flows/s{flaw}")  # fmt: skip
    return lines


def machine() -> str:
    """What the figures were measured on."""
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
                  if line.startswith("model name")), platform.machine())  # fmt: skip
    software = f"Linux {platform.release()}, Python {platform.python_version()}, numpy {np.__version__}"
    return f"{cores()} cores ({model}), {software}, load {os.getloadavg()[0]:.1f}; memcpy {memcpy_gb_per_s():.1f} GB/s"


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round and fewer flows")
    parser.add_argument("--inputs", default=",".join(KINDS), help=f"of {', '.join(KINDS)}; default all")
    parser.add_argument("--rivals", default=",".join(RIVALS), help=f"of {', '.join(RIVALS)}; default all that are installed")
    parser.add_argument("--rate", type=int, default=50_000, help="flows/s offered (default %(default)s)")
    parser.add_argument("--rounds", type=int, help="of each, interleaved (default 3, with --quick 1)")
    parser.add_argument("--no-limit", action="store_true", help="leave out the runs at each one's limit")
    parser.add_argument("--no-streams", action="store_true", help="leave out TCP and TLS")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too")
    given = parser.parse_args()
    for name, known in (("inputs", KINDS), ("rivals", RIVALS)):
        chosen = [one for one in getattr(given, name).split(",") if one]
        if unknown := [one for one in chosen if one not in known]:
            parser.error(f"--{name}: {', '.join(unknown)} is none of {', '.join(known)}")
        setattr(given, name, chosen)
    if given.rate < 1_000:
        parser.error("--rate: at least 1000 flows/s, else a run takes minutes")
    return given


def main() -> None:
    """Measures and prints."""
    asked = options()
    rounds = asked.rounds or (1 if asked.quick else 3)
    most = 0 if asked.no_limit else 600_000 if asked.quick else 2_000_000
    plan = Plan(asked.rate, asked.rate * (2 if asked.quick else 5), rounds, most)
    wanted = [RIVALS[name] for name in asked.rivals]
    there = [rival for rival in wanted if rival.program("ipfix")]
    for rival in wanted:
        if rival not in there:
            print(f"{rival.name} is not installed ({rival.install}): not measured")
    ours: type[Collector] = Flowgauge
    begin, runs = time.monotonic(), list[Run]()
    for number, name in enumerate(asked.inputs, 1):
        make, title = KINDS[name]
        print(
            f"[{number}/{len(asked.inputs)}, {time.monotonic() - begin:.0f} s] {title}: making {plan.flows:,} flows",
            file=sys.stderr,
        )
        runs += measured(make(plan.flows), [ours, *(rival for rival in there if rival.program(name))], plan)
    names = [rival.name for rival in there]
    parts = [(f"{plan.per_s:,} flows/s offered", table.rows(runs, names, limit=False))]
    if plan.most:
        parts.append(("at each one's limit (@ flows/s)", table.rows(runs, names, limit=True)))
    versions = ", ".join(f"{one.name} {one.version()}" for one in (ours, *there))
    notes = [] if asked.no_streams else streamed(plan)
    notes += [f"Not lossless (!): {flaw}" for flaw in table.flaws(runs)]
    print(f"\nCPU seconds per million flows, received and decoded; × = times ours\n{machine()}\n{versions}\n")
    print(table.text(parts, names), *notes, sep="\n")
    if asked.markdown:
        listed = "\n".join(f"- {note}" for note in notes)
        asked.markdown.write_text(f"{machine()}; {versions}.\n\n{table.markdown(parts, names)}\n\n{listed}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
