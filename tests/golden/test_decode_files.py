# SPDX-License-Identifier: Apache-2.0
"""``flowgauge decode`` of captures of real exporters gives the same records and statistics for ever.

A case is a folder of ``golden/decode`` with captures, read in the order of their names, and a README line;
``FLOWGAUGE_UPDATE_GOLDEN=1`` writes what is expected, to be reviewed. tshark opens the same captures: it is the oracle.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from flowgauge.cli.main import main

CASES = sorted((Path(__file__).parent / "decode").iterdir())
JUDGED = [case for case in CASES if case.name not in ("pmacct-sflow", "softflowd-psamp", "pcapng-two-files")]
"""Those that tshark can judge: it does not keep data for a template to come, and has other records for sampled packets."""
PORT = "2055"
KEY = ("src_addr", "dst_addr", "src_port", "dst_port", "proto", "bytes", "packets", "tcp_flags", "ip_tos")
"""What tshark and we must agree on in every record."""
_RECORD_TITLES = ("Flow ", "pdu ")
_TITLES = ("pdu ", "FlowSet ", "Set ", "Cisco NetFlow")


def files(case: Path) -> list[Path]:
    return sorted(path for path in case.iterdir() if path.suffix in (".pcap", ".pcapng"))


def decoded(case: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> tuple[str, str]:
    """The records, and the statistics."""
    status = main(["decode", "--records", "all", "--stats", str(tmp_path / "stats"), *map(str, files(case))])
    out, err = capfdbinary.readouterr()
    assert (status, err) == (0, b"")
    return out.decode(), (tmp_path / "stats").read_text()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_capture_decodes_to_what_is_recorded(case: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert (case / "README.md").read_text().strip()
    records, stats = decoded(case, tmp_path, capfdbinary)
    if os.environ.get("FLOWGAUGE_UPDATE_GOLDEN") == "1":
        (case / "expected.jsonl").write_text(records)
        (case / "stats.json").write_text(stats)
    assert records == (case / "expected.jsonl").read_text()
    assert stats == (case / "stats.json").read_text()


@pytest.mark.tool("tshark")
@pytest.mark.parametrize("case", JUDGED, ids=lambda case: case.name)
def test_tshark_finds_the_same_records(case: Path) -> None:
    """Of NetFlow and IPFIX; a record with both directions is two of ours."""
    wanted = Counter(key for path in files(case) for key in dissected(path))
    rows = [json.loads(line) for line in (case / "expected.jsonl").read_text().splitlines()]
    seen = Counter(tuple(row.get(name, 0) for name in KEY) for row in rows if row.get("packets"))
    assert seen
    assert seen == wanted


@pytest.mark.tool("tshark")
@pytest.mark.parametrize("snapshot", [150, 250, 400])
@pytest.mark.parametrize(
    "name", ["pmacct-ipfix", "pmacct-netflow5", "pmacct-netflow9", "softflowd-netflow1", "softflowd-netflow9"]
)
def test_tshark_finds_the_same_records_in_what_a_short_snapshot_left(
    name: str, snapshot: int, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """And more: whole records of the set within which a datagram was cut. Of NetFlow 1 and 5 it shows the one cut, too."""
    (path,) = files(Path(__file__).parent / "decode" / name)
    short = tmp_path / "short.pcap"
    subprocess.run(["editcap", "-s", str(snapshot), str(path), str(short)], check=True)
    assert main(["decode", str(short)]) == 0
    rows = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    seen = Counter(tuple(row.get(name, 0) for name in KEY) for row in rows if row.get("packets"))
    assert not seen - Counter(dissected(path))
    partly = sum("pdu" in line for line in cut_places(short))
    assert (Counter(dissected(short)) - seen).total() <= partly
    assert seen or snapshot < 400


def cut_places(path: Path) -> list[str]:
    """What tshark was showing of each datagram when that ended."""
    command = ["tshark", "-n", "-r", str(path), "-d", f"udp.port=={PORT},cflow", "-V"]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    ends = [number for number, line in enumerate(lines) if "CFLOW truncated" in line]
    titles = [next(line for line in lines[number::-1] if line.lstrip().startswith(_TITLES)) for number in ends]
    assert titles
    return titles


def dissected(path: Path) -> Iterator[tuple[Any, ...]]:
    """The records that tshark finds in a capture."""
    command = [
        "tshark",
        "-n",
        "-2",
        "-r",
        str(path),
        "-d",
        f"udp.port=={PORT},cflow",
        "-d",
        f"tcp.port=={PORT},cflow",
        "-T",
        "pdml",
    ]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    for field in ET.fromstring(output).iter("field"):  # noqa: S314 - tshark's own output
        if field.get("name") == "" and field.get("show", "").startswith(_RECORD_TITLES):
            record: dict[str, list[str]] = {}
            for inner in field.iter("field"):
                record.setdefault(inner.get("name", ""), []).append(inner.get("show", ""))
            if "cflow.packets" in record:
                yield from keys(record)


def keys(record: dict[str, list[str]]) -> Iterator[tuple[Any, ...]]:
    """A record of tshark in the columns ``KEY``: one for each direction that it counts, the reverse being named second."""

    def number(name: str, place: int = 0) -> int:
        values = record.get(f"cflow.{name}", [])
        return int(values[place], 0) if place < len(values) else 0

    source, target = ((record.get(f"cflow.{name}addr") or record[f"cflow.{name}addrv6"])[0] for name in ("src", "dst"))
    proto = number("protocol")
    ports = (0, 0) if proto in (1, 58) else (number("srcport"), number("dstport"))
    for way, ends in enumerate([(source, target, *ports), (target, source, *ports[::-1])][: len(record["cflow.packets"])]):
        counts = (number("octets", way), number("packets", way), number("tcpflags", way), number("tos", way))
        if counts[1]:
            yield *ends, proto, *counts
