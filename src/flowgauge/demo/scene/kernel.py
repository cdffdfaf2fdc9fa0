# SPDX-License-Identifier: Apache-2.0
"""How the scene tells the kernel what to set up: one ``ip`` or ``nft`` process for many commands, the rest by system calls."""

from __future__ import annotations

import array
import fcntl
import json
import socket
import struct
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import linux

_SIOCETHTOOL = 0x8946
_OFFLOADS = {"tso": 0x1F, "gso": 0x24, "gro": 0x2C}
"""ETHTOOL_STSO, ETHTOOL_SGSO and ETHTOOL_SGRO of linux/ethtool.h."""


def ip_batch(netns: str, commands: Iterable[str]) -> None:
    """Runs ``ip`` commands in a namespace, all in one process.

    Raises:
        EnvironmentProblem: the kernel refused one; the message holds what ``ip`` said.
    """
    text = "\n".join(commands)
    _run(["ip", "-n", netns, "-batch", "-"], text, f"network set-up in {netns}")


def nft(netns: str, ruleset: str) -> None:
    """Loads an nftables ruleset in a namespace, as one transaction."""
    with linux.in_netns(netns):
        _run(["nft", "-f", "-"], ruleset, f"nftables rules in {netns}")


def nft_json(netns: str, *command: str) -> list[dict[str, Any]]:
    """What ``nft -j COMMAND`` answers in a namespace."""
    with linux.in_netns(netns):
        answer = _run(["nft", "-j", *command], "", f"nft {' '.join(command)} in {netns}")
    objects: list[dict[str, Any]] = json.loads(answer)["nftables"]
    return objects


def ip_json(netns: str, *command: str) -> list[dict[str, Any]]:
    """What ``ip -j COMMAND`` answers in a namespace."""
    answer = _run(["ip", "-n", netns, "-j", *command], "", f"ip {' '.join(command)} in {netns}")
    objects: list[dict[str, Any]] = json.loads(answer or "[]")
    return objects


def sysctl(netns: str, settings: Mapping[str, str]) -> None:
    """Writes settings below ``net/`` in a namespace; keys with slashes (``ipv4/ip_forward``)."""
    with linux.in_netns(netns):
        for key, value in settings.items():
            Path("/proc/sys/net", key).write_text(value, encoding="ascii")


def offloads(netns: str, devices: Iterable[str], *, on: bool) -> None:
    """Sets segmentation and receive offloads (tso, gso, gro) of devices: off, an interface counts the packets of the wire."""
    with linux.in_netns(netns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for device in devices:
            for command in _OFFLOADS.values():
                value = array.array("I", (command, int(on)))  # struct ethtool_value
                request = struct.pack("16sP16x", device.encode(), value.buffer_info()[0])  # struct ifreq
                fcntl.ioctl(control, _SIOCETHTOOL, request)


def run_tool(*argv: str) -> str:
    """Runs a program of iproute2 in the calling thread's namespace; what it printed."""
    return _run(list(argv), "", " ".join(argv))


def _run(argv: list[str], text: str, what: str) -> str:
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise EnvironmentProblem(f"{argv[0]} is not installed (Debian: apt-get install iproute2 nftables)") from error
    if done.returncode != 0:
        raise EnvironmentProblem(f"{what} failed: {done.stderr.strip()}")
    return done.stdout
