# SPDX-License-Identifier: Apache-2.0
"""Signals against their truth: what flows say of PostgreSQL, DNS and drops, and what logs and the kernel say.

Scored, not checked: on a busy machine figures differ a little, and a signal may be switched off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flowgauge.demo.containers import DNS_PORT
from flowgauge.demo.database import PORT as DATABASE_PORT
from flowgauge.demo.report.tenants import has_text, is_address
from flowgauge.demo.scene.faults import Dropped
from flowgauge.flow.batch import FlowBatch

_SLOWEST_OFF_MS = 100.0
_RETRANSMITS_OFF = 2.0
_DROPS_OFF = 5.0
"""A row has the sum over all reasons, and the commonest of them: what came twice may be counted with those of a rule."""
_SHARE_OFF = 0.05
_DURATION = re.compile(r"duration: ([0-9.]+) ms")
_QUESTION = re.compile(r"query\[[A-Z]+\] (\S+) from")


@dataclass(frozen=True, slots=True)
class Score:
    """One signal: what flows say (``measured``), what is so (``truth``), their difference, and whether that is small enough."""

    name: str
    measured: float
    truth: float
    error: float
    held: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known without flows.

    Attributes:
        database: the pod's address; ``database_log`` what PostgreSQL logged, ``repeated`` the segments its kernel sent again.
        dns_logs: what the DNS servers logged.
        dropped: address → what faults dropped on the way to it.
    """

    database: str
    database_log: Path
    repeated: int
    dns_logs: Sequence[Path]
    dropped: Mapping[str, Dropped]


@dataclass(slots=True)
class Signals:
    """Reads batches; ``scores`` afterwards."""

    truth: Truth
    _slowest_ms: float = 0.0
    _repeated: int = 0
    _names: set[str] = field(default_factory=set)
    _drops: int = 0

    def add(self, batch: FlowBatch) -> None:
        """Takes what a batch says."""
        of_database = is_address(batch.array("dst_addr"), self.truth.database) & (batch.array("dst_port") == DATABASE_PORT)
        if of_database.any():
            slowest_us = int(batch.array("server_time_max_us")[of_database].max())
            self._slowest_ms = max(self._slowest_ms, slowest_us / 1000)
        counted = batch.array("duplicate_of") == 0
        sent = is_address(batch.array("src_addr"), self.truth.database) & counted
        self._repeated += int(batch.array("retransmits")[sent].sum())
        asked = batch.names("dns_name")
        codes = np.unique(asked.codes[batch.array("dst_port") == DNS_PORT]).tolist()
        self._names |= {asked.values[code] for code in codes} - {""}
        forbidden = has_text(batch, "drop_cause", "NETFILTER_DROP") & (batch.array("dst_port") == DATABASE_PORT)
        self._drops += int(batch.array("drop_packets")[forbidden].sum())

    def scores(self) -> list[Score]:
        """Each signal for which there is a truth."""
        found = [_score("segments sent again by PostgreSQL", self._repeated, self.truth.repeated, _RETRANSMITS_OFF)]
        durations = [float(text) for text in _DURATION.findall(_text(self.truth.database_log))]
        if durations:
            found.append(_score("slowest query of PostgreSQL, ms", self._slowest_ms, max(durations), _SLOWEST_OFF_MS))
        names = {name.lower() for log in self.truth.dns_logs for name in _QUESTION.findall(_text(log))}
        wrong = len(names ^ self._names)
        found.append(Score("names asked of DNS", len(self._names), len(names), wrong, wrong == 0))
        if self.truth.dropped:
            truth = sum(one.packets for one in self.truth.dropped.values())
            found.append(_score("packets dropped by rules", self._drops, truth, _DROPS_OFF))
        return found


def _score(name: str, measured: float, truth: float, allowed: float) -> Score:
    error = abs(measured - truth)
    return Score(name, round(measured, 3), round(truth, 3), round(error, 3), error <= max(allowed, _SHARE_OFF * truth))


def _text(log: Path) -> str:
    return log.read_text("utf-8", "replace") if log.exists() else ""
