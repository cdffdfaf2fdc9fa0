# SPDX-License-Identifier: Apache-2.0
"""Devices' NetFlow v9 and IPFIX: tshark, which we did not write, sees the same."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import device_cases
import exporter_cases
import private_cases
from flowgauge.flow.rows import to_rows
from flowgauge.schema.enums import RECORD_KIND, code
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder

FOLDER = Path(__file__).parent / "wire"
CASES = (
    device_cases.CASES
    | exporter_cases.CASES
    | {
        name: private_cases.CASES[name]
        for name in (
            "device-cisco-flexible",
            "device-flowmon",
            "device-streamcore",
            "device-ubiquiti-edgerouter",
            "labels-with-ttl",
        )
    }
)
UNREAD_BY_TSHARK = {
    "device-h3c": "no variable lengths in NetFlow v9",
    "device-fortigate": "does not read records that came before their template again in the first pass",
    "device-cisco-asa": "has other fields for initiator and responder",
    "device-juniper-mx": "shows the packet within a record as a packet",
    "device-ixia": "does not know Ixia's counters of the responder",
    "device-yaf": "has totals and reverse counters in fields of their own",
}


@pytest.mark.tool("tshark")
@pytest.mark.parametrize("name", sorted(CASES.keys() - UNREAD_BY_TSHARK.keys()))
def test_tshark_counts_the_same_bytes_and_packets(name: str) -> None:
    decoded = Decoder().decode(Datagrams.from_payloads(CASES[name].payloads))
    port = CASES[name].port
    command = ["tshark", "-r", str(FOLDER / name / "in.pcap"), "-d", f"udp.port=={port},cflow", "-T", "fields"]
    fields = [part for field in ("cflow.octets", "cflow.packets") for part in ("-e", field)]
    seen = subprocess.run([*command, *fields], check=True, capture_output=True, text=True, timeout=60).stdout
    numbers = [
        [int(number) for line in seen.splitlines() for number in line.split("\t")[column].split(",") if number]
        for column in (0, 1)
    ]
    counted = decoded.flows.array("record_kind") != code(RECORD_KIND, "event")
    ours = [sorted(decoded.flows.array(column)[counted].tolist()) for column in ("bytes", "packets")]
    assert sorted(numbers[0]) == ours[0]
    assert sorted(numbers[1]) == [count for count in ours[1] if count]


@pytest.mark.tool("tshark")
def test_tshark_sees_the_client_as_the_initiator_whose_counters_are_the_sources() -> None:
    case = private_cases.CASES["device-cisco-avc"]
    flows = Decoder().decode(Datagrams.from_payloads(case.payloads)).flows
    command = ["tshark", "-r", str(FOLDER / "device-cisco-avc/in.pcap"), "-d", f"udp.port=={case.port},cflow", "-V"]
    seen = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    names = ("Connection Client IPv4 Address", "Initiator Octets", "Connection Server IPv4 Address", "Responder Octets")
    clients, initiators, servers, responders = (re.findall(rf"{name}: (\S+)", seen) for name in names)
    expected = [*zip(clients, map(int, initiators), strict=True), *zip(servers, map(int, responders), strict=True)]
    ours = [(row["src_addr"], row["bytes"]) for row in to_rows(flows)]
    assert sorted(ours) == sorted(pair for pair in expected if pair[1])
