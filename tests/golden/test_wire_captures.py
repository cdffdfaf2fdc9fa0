# SPDX-License-Identifier: Apache-2.0
"""Recorded export datagrams decode to the same flows, options and counts for ever.

A case is a folder of ``golden/wire`` with ``in.pcap`` (Ethernet, IPv4, UDP) and a README line; ``FLOWGAUGE_UPDATE_GOLDEN=1``
writes ``expected.json``, to be reviewed. tshark opens the same capture.
"""

from __future__ import annotations

import json
import os
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import golden_cases
import wire_cases
from flowgauge.flow.rows import to_rows
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Value
from flowgauge.wire.decoder import Decoder

FOLDER = Path(__file__).parent / "wire"
CASES = sorted(path for path in FOLDER.iterdir() if path.is_dir())
FRAME_AND_HEADERS = 14 + 20 + 8


def payloads(path: Path) -> Iterator[bytes]:
    """The UDP payloads of a little-endian pcap file."""
    content, at = path.read_bytes(), 24
    while at < len(content):
        (length,) = struct.unpack_from("<I", content, at + 8)
        yield content[at + 16 + FRAME_AND_HEADERS : at + 16 + length]
        at += 16 + length


def decoded(case: Path, *, one_by_one: bool) -> dict[str, Any]:
    """Everything that a case decodes to, in an order of its own."""
    found, decoder = list(payloads(case / "in.pcap")), Decoder()
    batches = [[payload] for payload in found] if one_by_one else [found]
    flows, options, counts, malformed, counters = [], [], Counter[str](), [], []
    for batch in batches:
        result = decoder.decode(Datagrams.from_payloads(batch, "192.0.2.1", received_ns=1))
        flows += to_rows(result.flows)
        options += [_plain(record) for told in result.options for record in told.records]
        counts.update(result.counts)
        malformed += [[one.datagram, one.offset, one.cause, one.expected, one.found] for one in result.problems]
        counters += [{"source": [one.source_type, one.source_index], **one.values} for one in result.counters]
    counts.update(decoder.finish())
    detailed = Decoder(detailed=True).decode(Datagrams.from_payloads(found, "192.0.2.1", received_ns=1)).details
    extra = [_plain({name: value for name, value in zip(one.extra, each, strict=True) if value is not None})
             for one in detailed for each in zip(*one.extra.values(), strict=True)]  # fmt: skip
    more = {
        "extra": sorted(filter(None, extra), key=json.dumps),
        "malformed": sorted(malformed),
        "counters": sorted(counters, key=json.dumps),
    }
    return {
        "counts": dict(counts),
        "options": sorted(options, key=json.dumps),
        "flows": sorted(flows, key=lambda row: json.dumps(row, sort_keys=True)),
        **{name: values for name, values in more.items() if values},
    }


def _plain(record: Mapping[str, Value]) -> dict[str, Any]:
    """As JSON can have it: octets, of elements that nobody knows, in hexadecimal."""
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in record.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_capture_decodes_to_what_is_recorded(case: Path) -> None:
    assert (case / "README.md").read_text().strip()
    expected = case / "expected.json"
    seen = decoded(case, one_by_one=False)
    if os.environ.get("FLOWGAUGE_UPDATE_GOLDEN") == "1":
        expected.write_text(json.dumps(seen, indent=1, sort_keys=True) + "\n")
    assert seen == json.loads(expected.read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_how_datagrams_are_batched_does_not_matter(case: Path) -> None:
    assert decoded(case, one_by_one=True) == decoded(case, one_by_one=False)


@pytest.mark.parametrize("name", golden_cases.CASES)
def test_an_input_is_what_its_builder_writes(name: str) -> None:
    """So that a case can be read where it is made, and changed."""
    assert (FOLDER / name / "in.pcap").read_bytes() == wire_cases.capture(golden_cases.CASES[name])
    assert (FOLDER / name / "README.md").read_text().strip() == golden_cases.CASES[name].readme
