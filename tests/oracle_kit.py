# SPDX-License-Identifier: Apache-2.0
"""For tests: the same datagrams as programs that we did not write read them: tshark's dissectors, nfcapd and sfcapd."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agent_kit import until
from flowgauge.run.part import free_port
from wire_cases import Case, capture

IN_UTC = {**os.environ, "TZ": "UTC"}


def dissected(path: Path, payloads: Sequence[bytes], port: int, protocol: str) -> list[dict[str, Any]]:
    """Each datagram as tshark sees it."""
    path.write_bytes(capture(Case("", port, payloads)))
    command = ["tshark", "-n", "-r", str(path), "-d", f"udp.port=={port},{protocol}", "-T", "json", "--no-duplicate-keys"]
    output = subprocess.run(command, capture_output=True, check=True, env=IN_UTC).stdout
    return [packet["_source"]["layers"] for packet in json.loads(output)]


def pdus(layers: dict[str, Any]) -> list[dict[str, str]]:
    """The records of one NetFlow datagram."""
    found = layers["cflow"]
    return [value for name, value in found.items() if name.startswith("pdu") and isinstance(value, dict)] or list(found["pdu"])


def flat(tree: Any) -> Iterator[tuple[str, str]]:
    """Every (field, value) of tshark's tree, in order."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if isinstance(value, str):
                yield name, value
            elif isinstance(value, list) and all(isinstance(one, str) for one in value):
                yield from ((name, one) for one in value)
            else:
                yield from flat(value)
    elif isinstance(tree, list):
        for one in tree:
            yield from flat(one)


def iso_ms(text: str) -> int:
    """A time of nfdump, which is local (UTC here), in ms since 1970."""
    return round(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp() * 1000)


@contextlib.contextmanager
def flow_capture(folder: Path, program: str = "nfcapd") -> Iterator[int]:
    """A collector of nfdump's family that writes into ``folder``; its port. It has read everything when the block has ended."""
    port = free_port(socket.SOCK_DGRAM)
    command = [program, "-w", str(folder), "-b", "127.0.0.1", "-p", str(port), "-t", "3600", "-B", "4000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=IN_UTC) as process:
        try:
            assert process.stdout is not None
            assert any("Startup" in line for line in process.stdout)
            yield port
            until(lambda: all_read(port), f"{program} reads")
        finally:
            process.terminate()
            process.communicate(timeout=60)


def all_read(port: int) -> bool:
    """Whether nothing waits at a port of UDP in the namespace of this thread (proc(5), net/udp: tx_queue:rx_queue)."""
    lines = [line.split() for line in Path("/proc/thread-self/net/udp").read_text().splitlines()]
    return all(line[4].endswith(":00000000") for line in lines if line[1].endswith(f":{port:04X}"))


def kept(folder: Path) -> list[dict[str, Any]]:
    """What nfdump reads back of a collector's folder."""
    output = subprocess.run(["nfdump", "-R", str(folder), "-o", "json"], capture_output=True, check=True, env=IN_UTC).stdout
    found: list[dict[str, Any]] = json.loads(output)
    return found


def collected(program: str, payloads: Sequence[bytes], folder: Path) -> list[dict[str, Any]]:
    """What a collector of nfdump's family writes of the datagrams, as nfdump reads it back."""
    with flow_capture(folder, program) as port, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for payload in payloads:
            sender.sendto(payload, ("127.0.0.1", port))
    return kept(folder)
