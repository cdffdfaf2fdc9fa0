# SPDX-License-Identifier: Apache-2.0
"""What the programs write to packets, agreed between the agents that observe one network namespace.

A stamp (``programs/stamp.h``) has the node in its upper bits, and two bits for each agent. An agent takes the first free ones
and the node of those that are there already, whatever that was derived from. It says so by an abstract socket address
(unix(7)): seen in all of this network namespace and nowhere else, and gone with its process however that ends. Everything
acts on the calling thread's network namespace. Before it: :mod:`flowgauge.ebpf.clsact`; after it:
:mod:`flowgauge.ebpf.flow_program`.
"""

from __future__ import annotations

import errno
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flowgauge.ebpf.abi_settings import STAMP_AGENTS, Stamp
from flowgauge.ebpf.clsact import NAME_PREFIX, sign_of_life
from flowgauge.runtime import logs
from flowgauge.runtime.linux import netns_path

AGENTS = STAMP_AGENTS.bit_length() // 2
"""So many in one network namespace count each packet; more take packets from the last of them."""
_NODES = 0xFFFF // (STAMP_AGENTS + 1)
"""How many nodes a stamp can tell apart; 0 is none, since others leave small numbers in packets."""
_PATIENCE_S = 2.0
"""As long as this another agent may take to choose its bits; longer, and it was stopped in the middle."""
_TAKEN = re.compile(rf" @{NAME_PREFIX}stamps (\d+) as (\d+)$", re.MULTILINE)

_log = logs.get("ebpf")


class Claim:
    """The bits that a process has in a network namespace, for as many programs as share them.

    Attributes:
        stamp: what its programs write.
    """

    def __init__(self, netns: int, stamp: Stamp, held: socket.socket | None) -> None:
        self.stamp, self.users = stamp, 0
        self._netns, self._held = netns, held

    def release(self) -> None:
        """Lets others have the bits once every program of this process that has them has let go of them."""
        with _lock:
            self.users -= 1
            if self.users:
                return
            del _claims[self._netns]
            if self._held is not None:
                self._held.close()


_lock = threading.Lock()
_claims: dict[int, Claim] = {}
"""By inode of the network namespace: programs of one process take turns, and a packet is to be counted by one of them."""


@dataclass(frozen=True, slots=True)
class _Others:
    """The agents of other processes that stamp here."""

    node: int
    slots: frozenset[int]


def first(salt: int) -> Stamp:
    """That of the only agent of a node."""
    return _stamp(salt % _NODES + 1, 0)


def claim(salt: int) -> Claim:
    """What this process writes to packets of the calling thread's namespace; of the node of ``salt`` when it is the first."""
    netns = netns_path("").stat().st_ino
    with _lock:
        found = _claims.get(netns)
        if found is None:
            found = _claims[netns] = _claimed(netns, salt)
        found.users += 1
        return found


def _claimed(netns: int, salt: int) -> Claim:
    try:
        with _alone():
            others = _others()
            node = others.node or salt % _NODES + 1
            free = [slot for slot in range(AGENTS) if slot not in others.slots]
            held = sign_of_life(f"{NAME_PREFIX}stamps {free[0]} as {node}") if free else None
    except OSError as error:
        _log.warning("stamp_not_claimed", error=str(error), note="another agent here would take packets from this one")
        return Claim(netns, first(salt), None)
    _tell(len(others.slots), crowded=not free)
    return Claim(netns, _stamp(node, free[0] if free else AGENTS - 1), held)


def _tell(others: int, *, crowded: bool) -> None:
    if crowded:
        note = "this one and the last of them take packets from each other"
        _log.warning("too_many_agents_observe", others=others, note=note)
    elif others:
        _log.info("another_agent_observes", others=others, note="each counts every packet; in one store they would count twice")


def _stamp(node: int, slot: int) -> Stamp:
    return Stamp(node=node * (STAMP_AGENTS + 1), counted=1 << 2 * slot, trace=2 << 2 * slot)


def _others() -> _Others:
    sockets = Path("/proc/thread-self/net/unix").read_text(encoding="utf-8", errors="replace")
    told = [(int(slot), int(node)) for slot, node in _TAKEN.findall(sockets)]
    taken = [(slot, node) for slot, node in told if slot < AGENTS and 0 < node <= _NODES]  # anybody may take a name
    return _Others(taken[0][1] if taken else 0, frozenset(slot for slot, _ in taken))


@contextmanager
def _alone() -> Iterator[None]:
    """One process after the other, in this network namespace."""
    until, chooses = time.monotonic() + _PATIENCE_S, None
    while chooses is None:
        try:
            chooses = sign_of_life(f"{NAME_PREFIX}chooses its stamp")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if time.monotonic() > until:
                break
            time.sleep(0.01)
    try:
        yield
    finally:
        if chooses is not None:
            chooses.close()
