# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001, T201 - a program that prints
"""Feeds the decoder broken datagrams of every protocol, guided by what they reach in it (atheris, libFuzzer).

Each execution is one batch of 256 datagrams through a decoder that keeps its state (see ``wire_checks`` for what must hold,
``wire_batches`` for how an input becomes a batch). Runs for FUZZ_SECONDS (default 60), or FUZZ_EXECUTIONS executions. A batch
that fails is written to ``reports/fuzz/`` with those before it and ends the run with status 1: ``fuzz/wire.py --replay FILE``
shows it again. FUZZ_STATUS names a file that says, as JSON, how far the run is; FUZZ_CORPUS a folder that keeps its inputs.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["flowgauge"]):
    from wire_checks import Checked

from wire_batches import HEAD_BYTES, MAX_BYTES, MAX_FRAMES, Changer, golden, repeated, unpack

FAILURES = Path(__file__).parents[1] / "reports/fuzz"
MAX_INPUT_BYTES = MAX_FRAMES * (MAX_BYTES + HEAD_BYTES)
MAX_RESIDENT_BYTES = 768 << 20
"""Of the process, with Python, numpy, and what libFuzzer keeps, which grows by 70 kB an execution."""
MAX_INPUT_S = 60
"""Of wall time; libFuzzer ends the run then. CPU time has a much tighter bound, in ``wire_checks``."""
STATUS_EVERY = 50


@dataclass
class Status:
    """How far a run is."""

    executions: int = 0
    seconds: float = 0
    cpu_seconds: float = 0
    resident_bytes: int = 0
    most_blocks: int = 0
    peak_batch_bytes: int = 0
    slowest_datagram_ms: float = 0
    totals: dict[str, int] | None = None


class Target:
    """What atheris calls with every input."""

    def __init__(self, executions: int) -> None:
        self._checked, self._status = Checked(), Status()
        self._executions, self._started = executions, time.monotonic()
        self._file = os.environ.get("FUZZ_STATUS", "")
        self._told = False

    def __call__(self, data: bytes) -> None:
        """One execution; does not return from a failure."""
        batch = repeated(unpack(data), zlib.crc32(data))
        if not batch:
            return
        try:
            self._checked.feed(batch)
        except Exception:  # noqa: BLE001 - whatever it is, it is the finding
            traceback.print_exc()
            self._keep()
            os._exit(1)
        self._status.executions += 1
        if self._status.executions % STATUS_EVERY == 0 or self._status.executions == self._executions:
            self.tell()

    def tell(self) -> None:
        """Writes the status file."""
        checked, status = self._checked, self._status
        status.seconds = round(time.monotonic() - self._started, 1)
        status.cpu_seconds = round(time.process_time(), 1)
        status.resident_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        status.most_blocks = checked.most_blocks
        status.peak_batch_bytes, status.slowest_datagram_ms = checked.peak_bytes, round(checked.slowest_s * 1000, 3)
        status.totals = dict(checked.totals)
        if self._file:
            beside = Path(f"{self._file}.new")
            beside.write_text(json.dumps(asdict(status)) + "\n")
            beside.replace(self._file)
        else:
            self._print(status)

    def _print(self, status: Status) -> None:
        totals = status.totals or {}
        rate = totals["datagrams"] / max(status.seconds, 0.1)
        print(
            f"wire: {totals['datagrams']:,} datagrams in {status.executions:,} batches, {totals['malformed']:,} malformed, "
            f"{totals['records']:,} records decoded, {rate:,.0f} datagrams/s, "
            f"slowest {status.slowest_datagram_ms} ms a datagram, memory {status.resident_bytes >> 20} MiB",
            flush=True,
        )

    def _keep(self) -> None:
        FAILURES.mkdir(parents=True, exist_ok=True)
        path = FAILURES / f"wire_{int(time.time())}.json"
        batches = [[[one.payload.hex(), one.sender, one.missing] for one in batch] for batch in self._checked.recent]
        path.write_text(json.dumps(batches) + "\n")
        print(f"wire: {path}", file=sys.stderr, flush=True)


def replay(path: str) -> int:
    """Feeds the batches of a failure again."""
    from wire_batches import Frame  # noqa: PLC0415

    checked = Checked()
    for batch in json.loads(Path(path).read_text()):
        checked.feed([Frame(bytes.fromhex(payload), sender, missing) for payload, sender, missing in batch])
    print(f"wire: {checked.totals['batches']:,} batches, nothing raised")
    return 0


def resident_limit_bytes() -> int:
    """For libFuzzer, which asks for the peak: exec keeps in it what the process had that started this one."""
    now = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return MAX_RESIDENT_BYTES + max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - now)


def main() -> int:
    """Runs until the time is over, or a batch fails."""
    warnings.simplefilter("error")  # numpy warns of an overflow where Python raises
    if sys.argv[1:2] == ["--replay"]:
        return replay(sys.argv[2])
    executions = int(os.environ.get("FUZZ_EXECUTIONS", "0"))
    seconds = 0 if executions else int(os.environ.get("FUZZ_SECONDS", "60"))
    with tempfile.TemporaryDirectory(prefix="flowgauge-fuzz-") as temporary:
        corpus = Path(os.environ.get("FUZZ_CORPUS", temporary))
        corpus.mkdir(parents=True, exist_ok=True)
        for content in golden():
            (corpus / f"golden-{zlib.crc32(content):08x}").write_bytes(content)
        options = [
            f"-max_total_time={seconds}", f"-runs={executions or -1}", f"-max_len={MAX_INPUT_BYTES}", "-len_control=0",
            f"-rss_limit_mb={resident_limit_bytes() >> 20}", f"-timeout={MAX_INPUT_S}", "-print_final_stats=1",
            f"-artifact_prefix={FAILURES}/", f"-seed={os.environ.get('FUZZ_SEED', time.time_ns() % 2**31)}",
        ]  # fmt: skip
        FAILURES.mkdir(parents=True, exist_ok=True)
        target = Target(executions)
        changer = Changer(lambda data, size: atheris.Mutate(data, size))  # noqa: PLW0108 - it is another function once Fuzz runs
        atheris.Setup([sys.argv[0], *options, str(corpus)], target, custom_mutator=changer)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
