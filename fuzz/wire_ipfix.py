# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001, S101, T201 - a program that checks and prints
"""Feeds the decoder broken IPFIX and NetFlow v9 for FUZZ_SECONDS (default 60): it must count them, never raise, never grow.

Each round is one batch through a decoder that keeps its state for a while. A round that fails is written to
``reports/fuzz/`` with its seed and ends the run with status 1. FUZZ_SEED begins somewhere else.
"""

from __future__ import annotations

import os
import resource
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.problems import MAX_PROBLEMS

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from wire_mutations import Mutator

FAILURES = Path(__file__).parents[1] / "reports/fuzz"
ROUNDS_PER_DECODER = 300
BATCH = 64
MAX_GROWTH_BYTES = 256 << 20
"""Memory that a run may add: the decoder keeps at most 16 MiB of waiting data, and templates within their bounds."""
MAX_ROUND_S = 10.0
"""CPU seconds of one batch; a healthy one takes milliseconds."""


@dataclass
class Totals:
    """What a run did."""

    datagrams: int = 0
    records: int = 0
    malformed: int = 0


def one_round(decoder: Decoder, payloads: list[bytes], totals: Totals) -> None:
    """Decodes a batch and checks what must hold of any."""
    started = time.process_time()
    decoded = decoder.decode(Datagrams.from_payloads(payloads, received_ns=totals.datagrams * 1_000_000))
    counts = decoded.counts
    assert counts.get("decode_records", 0) == len(decoded.flows)
    assert counts.get("decode_options_records", 0) == sum(len(told.records) for told in decoded.options)
    assert len(decoded.problems) <= MAX_PROBLEMS or decoded.details
    assert bool(decoded.problems) == bool(counts.get("decode_error_datagrams"))
    assert all(count > 0 for count in counts.values())
    assert time.process_time() - started < MAX_ROUND_S
    totals.datagrams += len(payloads)
    totals.records += len(decoded.flows)
    totals.malformed += counts.get("decode_error_datagrams", 0)


def resident_bytes() -> int:
    """The most memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def keep(payloads: list[bytes], name: str, seed: int) -> Path:
    """Writes a failing batch, one datagram a line in hexadecimal."""
    FAILURES.mkdir(parents=True, exist_ok=True)
    path = FAILURES / f"{name}_{seed}.hex"
    path.write_text("\n".join(payload.hex() for payload in payloads) + "\n", encoding="ascii")
    return path


def main(name: str = "wire_ipfix", mutators: type[Mutator] = Mutator) -> int:
    """Runs until the time is over, or a round fails."""
    warnings.simplefilter("error")  # numpy warns of an overflow where Python raises
    until = time.monotonic() + float(os.environ.get("FUZZ_SECONDS", "60"))
    seed = int(os.environ.get("FUZZ_SEED", str(time.time_ns() % 1_000_000_000)))
    mutator, totals, rounds, before = mutators(seed), Totals(), 0, 0
    decoder = Decoder()
    while time.monotonic() < until:
        if rounds % ROUNDS_PER_DECODER == 0:
            assert len(decoder.reports()) >= 0
            decoder.finish()
            state = decoder.save()
            decoder = Decoder(detailed=rounds // ROUNDS_PER_DECODER % 2 == 1)
            decoder.restore(state, 0)
        payloads = mutator.batch(BATCH)
        try:
            one_round(decoder, payloads, totals)
        except Exception:  # noqa: BLE001 - whatever it is, it is the finding
            traceback.print_exc()
            print(f"seed {seed}, round {rounds}: {keep(payloads, name, seed)}", file=sys.stderr)
            return 1
        rounds += 1
        before = before or resident_bytes()
    growth = resident_bytes() - before
    print(
        f"{name}: seed {seed}, {totals.datagrams:,} datagrams in {rounds:,} batches, {totals.malformed:,} malformed, "
        f"{totals.records:,} records decoded, memory +{growth >> 20} MiB, nothing raised"
    )
    return int(growth > MAX_GROWTH_BYTES)


if __name__ == "__main__":
    sys.exit(main())
