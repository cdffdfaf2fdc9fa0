# SPDX-License-Identifier: Apache-2.0
"""A node with more devices than a process may usually have descriptors for the hooks of: all are observed."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_kit import agent, until
from flowgauge.demo.scene import kernel
from flowgauge.runtime import linux

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.slow, pytest.mark.tool("prlimit")]

PAIRS, SOFT, HARD = 60, 160, 1_000
"""120 devices have two hooks each, beside some 100 descriptors of maps and programs."""


@pytest.fixture
def netns() -> Iterator[str]:
    name = f"fgd{os.getpid() % 100_000}{secrets.token_hex(3)}"
    linux.create_netns(name)
    kernel.ip_batch(name, [f"link add v{number} type veth peer name p{number}" for number in range(PAIRS)])
    yield name
    linux.delete_netns(name)


def test_all_devices_are_observed_where_few_descriptors_are_usual(netns: str, tmp_path: Path) -> None:
    options = ["--netns", netns, "--node", netns, "--http-port", "0", "--collector", "127.0.0.1:9", "--max-flows", "256"]
    with agent(options, tmp_path, ["prlimit", f"--nofile={SOFT}:{HARD}"]) as running:

        def attached() -> bool:
            found = json.loads(running.get("/api/v1/interfaces"))["interfaces"]
            return sum(bool(one["attached"]) for one in found) == 2 * PAIRS

        until(attached, "all devices are observed")
        assert not running.events("interface_attach_failed")
