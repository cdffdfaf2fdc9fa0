# SPDX-License-Identifier: Apache-2.0
"""For tests: an agent that keeps packet heads, what it is asked, and captures read by programs of others."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent_kit import AgentProcess, agent, collector
from flowgauge.wire.captures import pcapng
from flowgauge.wire.captures.packet import Packet
from flowgauge.wire.captures.source import Source

TOKEN = "token-of-agents"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def keeping(folder: Path, *options: str, heads: str = "enable: true", token: str = TOKEN) -> Iterator[AgentProcess]:
    """An agent of the calling thread's namespace."""
    document = folder / "heads.yaml"
    document.write_text(f"spec:\n  exporter:\n    heads: {{{heads}}}\n")
    words = ["-f", str(document), "--node", "n1", "--http-port", "0", *options]
    if token:
        (folder / "token").write_text(token + "\n")
        words += ["--token-file", str(folder / "token")]
    with collector() as to, agent([*words, "--collector", f"127.0.0.1:{to.port}"], folder) as running:
        yield running


def asked(
    running: AgentProcess, path: str = "heads", token: str = TOKEN, method: str = "GET", **params: str
) -> tuple[int, bytes]:
    """Status and body of a question to the agent."""
    url = f"{running.ready()['http']}/api/v1/{path}?{urllib.parse.urlencode({key.rstrip('_'): params[key] for key in params})}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {}, method=method)  # noqa: S310 - loopback
    try:
        with _OPENER.open(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def message(body: bytes) -> str:
    """What an error says."""
    return str(json.loads(body)["error"]["message"])


def packets(content: bytes) -> list[Packet]:
    """Of a pcapng file, by the reader that reads everybody's."""
    return list(pcapng.packets(Source(io.BytesIO(content).read)))


def of_tcpdump(path: Path) -> list[tuple[int, bytes]]:
    """Time in ns and bytes of each packet of a classic capture with nanoseconds."""
    content, at, found = path.read_bytes(), 24, []
    assert content[:4] == struct.pack("<I", 0xA1B23C4D)
    while at < len(content):
        seconds, nanoseconds, captured, _ = struct.unpack_from("<IIII", content, at)
        found.append((seconds * 1_000_000_000 + nanoseconds, content[at + 16 : at + 16 + captured]))
        at += 16 + captured
    return found


def tshark(path: Path, *fields: str) -> list[list[str]]:
    """Fields of each packet of a file that tshark must find whole."""
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", *(word for field in fields for word in ("-e", field))]
    done: subprocess.CompletedProcess[Any] = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]
