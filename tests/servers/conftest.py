# SPDX-License-Identifier: Apache-2.0
"""Real servers, started when a test asks for one; what cannot be had here is a skip that says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVERS = Path(__file__).parents[2] / "tools" / "servers" / "servers.py"
UNAVAILABLE = 3


def running(name: str) -> Iterator[dict[str, int]]:
    """The ports of a server of this name, while the test session lasts."""
    command = [sys.executable, str(SERVERS), "run", name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line:
            _, said = server.communicate()
            if server.returncode == UNAVAILABLE and name not in os.environ.get("FLOWGAUGE_REQUIRE_SERVERS", "").split(","):
                pytest.skip(said.strip())
            pytest.fail(said)
        yield dict(json.loads(line)["ports"])
        server.terminate()
        server.communicate(timeout=30)


@pytest.fixture(scope="session")
def kafka() -> Iterator[int]:
    """The port of a broker."""
    for ports in running("kafka"):
        yield ports["kafka"]
