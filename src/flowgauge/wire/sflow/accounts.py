# SPDX-License-Identifier: Apache-2.0
"""What is told of sFlow agents, for people: added up by place as it happens, put together when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.schema.enums import FLOW_FORMAT, SAMPLING_SOURCE, code
from flowgauge.wire.decoded import MAX_RATES_TOLD, RateReport, StreamReport
from flowgauge.wire.packet_headers_bytes import Index
from flowgauge.wire.sflow.sampling import SourceSampling

_SFLOW5, _RECORD = code(FLOW_FORMAT, "sflow5"), code(SAMPLING_SOURCE, "record")
_LOST, _LATEST = 0, 1

ENOUGH = 100
"""Samples from which on an effective rate is told: it is then right to about a tenth."""


class Account:
    """By place: how much is lost in all, and what was noted last."""

    def __init__(self) -> None:
        self._sums = np.zeros((2, 0), np.int64)

    def lose(self, place: Index, lost: npt.NDArray[np.int64]) -> None:
        """Adds to what is lost; each place once."""
        self._grow(int(place.max(initial=-1)) + 1)
        self._sums[_LOST, place] += lost

    def note(self, place: Index, value: npt.NDArray[np.int64]) -> None:
        """Takes note of a value of each place; of several of one, the last."""
        self._grow(int(place.max(initial=-1)) + 1)
        self._sums[_LATEST, place] = value

    def of(self, place: int) -> tuple[int, int]:
        """(lost, noted last) of a place."""
        return (int(self._sums[_LOST, place]), int(self._sums[_LATEST, place])) if place < self._sums.shape[1] else (0, 0)

    def forget(self, place: Index) -> None:
        """Begins anew with these places."""
        self._grow(int(place.max(initial=-1)) + 1)
        self._sums[:, place] = 0

    def _grow(self, size: int) -> None:
        had = self._sums.shape[1]
        if size > had:
            self._sums = np.concatenate([self._sums, np.zeros((2, max(size, 2 * had, 64) - had), np.int64)], axis=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is added up of one agent: when it was heard, flow samples and datagrams lost, samples left out."""

    heard_ns: int
    lost_records: int
    lost_datagrams: int
    sampler_drops: int


def agent_report(
    addr: tuple[bytes, bytes], sub_agent: int, standing: Standing, sampling: Iterable[SourceSampling]
) -> StreamReport:
    """The report of one agent and sub-agent.

    Args:
        addr: the agent's, and where its datagrams come from.
        sub_agent: its number.
        standing: what is added up of it.
        sampling: of its data sources.
    """
    agent, sender = addr
    sampling = list(sampling)
    taken, seen = sum(one.taken for one in sampling), sum(one.taken * one.effective for one in sampling)
    rates = sorted(sampling, key=lambda one: (one.source_type, one.source_index))[:MAX_RATES_TOLD]
    return StreamReport(
        exporter_addr=agent,
        obs_domain_id=sub_agent,
        flow_format=_SFLOW5,
        heard_ns=standing.heard_ns,
        lost_records=standing.lost_records,
        lost_datagrams=standing.lost_datagrams,
        sampler_drops=standing.sampler_drops,
        socket_addr=b"" if sender == agent else sender,
        rates=tuple(
            RateReport(_RECORD, _words(one), one.configured, one.effective if one.taken >= ENOUGH else 0.0) for one in rates
        ),
        effective=seen / taken if taken >= ENOUGH else 0.0,
    )


def _words(one: SourceSampling) -> str:
    return f"interface {one.source_index}" if not one.source_type else f"source {one.source_type}:{one.source_index}"
