# SPDX-License-Identifier: Apache-2.0
"""The fuzzers run and find nothing: shortly here, for longer by ``make fuzz``, and ``fuzz/record.json`` says how long once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(900)  # as long as a busy machine takes for so many datagrams
RECORD = ROOT / "fuzz/record.json"
LONG_RUN = 20_000_000


def fuzzed(program: str, **settings: str) -> str:
    """What a program prints, which must end well."""
    environment = {**os.environ, **settings}
    command = [sys.executable, str(ROOT / "fuzz" / program)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=850)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_decoder_holds_what_it_promises_under_guided_fuzzing(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="no atheris for this Python")
    output = fuzzed("wire.py", FUZZ_SECONDS="60", FUZZ_SEED="7", FUZZ_CORPUS=str(tmp_path))
    (*_, told) = re.findall(
        r"^wire: ([\d,]+) datagrams in [\d,]+ batches, ([\d,]+) malformed, ([\d,]+) records", output, re.MULTILINE
    )
    datagrams, malformed, records = (int(number.replace(",", "")) for number in told)
    assert datagrams > 10_000
    assert 0 < malformed < datagrams < records, "most inputs must get beyond the header"


@pytest.mark.slow
@pytest.mark.tool("tshark")
def test_tshark_reads_mutated_captures_alike() -> None:
    assert "records" in fuzzed("against_tshark.py", FUZZ_SECONDS="60", FUZZ_SEED="23")


@pytest.mark.slow
@pytest.mark.tool("tshark")
def test_tshark_reads_mutated_sflow_alike() -> None:
    assert "samples compared whole" in fuzzed("against_tshark_sflow.py", FUZZ_SECONDS="20", FUZZ_SEED="23")


@pytest.mark.skipif(not RECORD.exists(), reason="no record of a long run")
def test_the_record_is_of_a_whole_run_without_findings() -> None:
    record = json.loads(RECORD.read_text())
    assert record["findings"] == []
    assert record["totals"]["datagrams"] >= LONG_RUN
    assert record["totals"]["cut"] > LONG_RUN // 100, "datagrams of which only the beginning is there belong to it"
    assert sum(record["decoders"].values()) == record["totals"]["datagrams"]
    assert record["totals"]["datagrams"] <= record["executions"] * record["bounds"]["datagrams_of_a_batch"]
    assert record["highest"]["slowest_datagram_ms"] <= record["bounds"]["cpu_ms_of_a_datagram"]
    assert record["highest"]["peak_batch_bytes"] <= record["bounds"]["allocated_bytes_of_a_batch"]
    assert record["highest"]["most_blocks"] <= record["bounds"]["objects_alive"]
