# SPDX-License-Identifier: Apache-2.0
"""Devices' NetFlow v9 and IPFIX: tshark, which we did not write, sees the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import device_cases
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder

FOLDER = Path(__file__).parent / "wire"
UNREAD_BY_TSHARK = {
    "device-h3c": "no variable lengths in NetFlow v9",
    "device-fortigate": "does not read records that came before their template again in the first pass",
    "device-cisco-asa": "has other fields for initiator and responder",
    "device-juniper-mx": "shows the packet within a record as a packet",
    "device-yaf": "has totals and reverse counters in fields of their own",
}


@pytest.mark.tool("tshark")
@pytest.mark.parametrize("name", sorted(device_cases.CASES.keys() - UNREAD_BY_TSHARK.keys()))
def test_tshark_counts_the_same_bytes_and_packets(name: str) -> None:
    decoded = Decoder().decode(Datagrams.from_payloads(device_cases.CASES[name].payloads))
    port = device_cases.CASES[name].port
    command = ["tshark", "-r", str(FOLDER / name / "in.pcap"), "-d", f"udp.port=={port},cflow", "-T", "fields"]
    fields = [part for field in ("cflow.octets", "cflow.packets") for part in ("-e", field)]
    seen = subprocess.run([*command, *fields], check=True, capture_output=True, text=True, timeout=60).stdout
    numbers = [
        [int(number) for line in seen.splitlines() for number in line.split("\t")[column].split(",") if number]
        for column in (0, 1)
    ]
    ours = [sorted(decoded.flows.array(column).tolist()) for column in ("bytes", "packets")]
    assert sorted(numbers[0]) == ours[0]
    assert sorted(numbers[1]) == [count for count in ours[1] if count]
