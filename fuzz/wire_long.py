# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001, T201 - a program that prints
"""Fuzzes the decoder until it has had FUZZ_DATAGRAMS datagrams (default 20 million) and writes the record of it.

Runs ``fuzz/wire.py`` in processes of LEG executions each, so that one that is killed (memory, time, a crash of the
interpreter) is a finding too. Inputs found on the way are kept in ``reports/fuzz/corpus``. How far it is stands after every
leg in ``reports/fuzz/record.json``: a run that was stopped goes on from there, also with a later decoder, and the record says
how many datagrams each decoder had. A decoder is named by a digest of its sources (``DECODER``): ``--today`` prints that of the
decoder here, and how many datagrams of the record it had. A whole run writes the record, ``fuzz/record.json`` unless
FUZZ_RECORD names another file. The run ends with the first finding, and status 1; the next one then begins anew.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import wire_checks
from wire_batches import BATCH

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "reports/fuzz/corpus"
WANTED = int(os.environ.get("FUZZ_DATAGRAMS", "20000000"))
RECORD = Path(os.environ.get("FUZZ_RECORD", ROOT / "fuzz/record.json"))
SO_FAR = CORPUS.parent / "record.json"
LEG = int(os.environ.get("FUZZ_LEG", "3000"))
"""Executions of one process."""
DECODER = ("src/flowgauge/wire", "src/flowgauge/flow")
"""Where its sources are."""
LAST_WORDS = 4000
"""Characters of a failed process's output that go into the record."""
_PROGRESS = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)/(\S+)")


def now() -> str:
    """The time in UTC, to the minute."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M")


def decoder() -> str:
    """Which one is at work: a digest of its sources, since a commit that is put upon another has another name."""
    found = hashlib.sha256()
    for path in sorted(path for folder in DECODER for path in (ROOT / folder).rglob("*.py")):
        content = path.read_bytes()
        found.update(f"{path.relative_to(ROOT)} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]


def so_far() -> dict[str, Any]:
    """The record of a run that was stopped before it had found anything, else of nothing yet."""
    found: dict[str, Any] = json.loads(SO_FAR.read_text()) if SO_FAR.exists() else beginning()
    if found["findings"] or found["totals"].get("datagrams", 0) >= WANTED:
        found = beginning()
    return found


def beginning() -> dict[str, Any]:
    """A record of nothing yet."""
    return {
        "began": now(),
        "ended": "",
        "decoders": {},
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("atheris", "numpy")},
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        },
        "bounds": {
            "datagrams_of_a_batch": BATCH,
            "cpu_ms_of_a_datagram": wire_checks.MAX_DATAGRAM_S * 1000,
            "allocated_bytes_of_a_batch": wire_checks.MAX_BATCH_BYTES,
            "objects_alive": wire_checks.MAX_BLOCKS,
        },
        "executions": 0,
        "totals": {},
        "seconds": 0,
        "cpu_seconds": 0,
        "datagrams_per_second": 0,
        "highest": {},
        "coverage": {},
        "findings": [],
    }


def leg(record: dict[str, Any], executions: int) -> None:
    """One process; adds what it did to the record."""
    status, by = CORPUS.parent / "status.json", decoder()
    status.unlink(missing_ok=True)
    environment = {**os.environ, "FUZZ_EXECUTIONS": str(executions), "FUZZ_STATUS": str(status), "FUZZ_CORPUS": str(CORPUS)}
    command = [sys.executable, str(ROOT / "fuzz/wire.py")]
    process = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )
    if status.exists():
        _add(record, by, json.loads(status.read_text()))
    if found := _PROGRESS.findall(process.stdout):
        edges, features, inputs, size = found[-1]
        record["coverage"] = {"edges": int(edges), "features": int(features), "inputs": int(inputs), "inputs_size": size}
    if process.returncode:
        record["findings"].append({"status": process.returncode, "output": process.stdout[-LAST_WORDS:]})


def _add(record: dict[str, Any], by: str, did: dict[str, Any]) -> None:
    record["decoders"][by] = record["decoders"].get(by, 0) + did["totals"]["datagrams"]
    record["executions"] += did["executions"]
    record["totals"] = dict(Counter(record["totals"]) + Counter(did["totals"]))
    record["seconds"] = round(record["seconds"] + did["seconds"], 1)
    record["cpu_seconds"] = round(record["cpu_seconds"] + did["cpu_seconds"], 1)
    record["datagrams_per_second"] = round(record["totals"]["datagrams"] / max(record["seconds"], 1))
    for name in ("resident_bytes", "most_blocks", "peak_batch_bytes", "slowest_datagram_ms"):
        record["highest"][name] = max(record["highest"].get(name, 0), did[name])


def main() -> int:
    """Runs to the wanted number, or the first finding."""
    if sys.argv[1:] == ["--today"]:
        had = json.loads(RECORD.read_text())["decoders"] if RECORD.exists() else {}
        print(f"the decoder {decoder()} had {had.get(decoder(), 0):,} of the record's {sum(had.values()):,} datagrams")
        return 0
    CORPUS.mkdir(parents=True, exist_ok=True)
    record = so_far()
    while (had := record["totals"].get("datagrams", 0)) < WANTED and not record["findings"]:
        leg(record, min(LEG, (WANTED - had) // BATCH + 2))
        record["ended"] = now()
        SO_FAR.write_text(json.dumps(record, indent=1) + "\n")
        print(
            f"{record['ended']}: {record['totals'].get('datagrams', 0):,} datagrams in {record['executions']:,} executions, "
            f"{record['datagrams_per_second']:,} datagrams/s, {record['coverage']}, {len(record['findings'])} findings",
            flush=True,
        )
    if record["findings"]:
        return 1
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
