# SPDX-License-Identifier: Apache-2.0
"""Which acts there are, which go on while people watch, and in which order the last ones play: the place to add one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from flowgauge.demo.acts.bulk import BulkTransfer, Transfer
from flowgauge.demo.acts.congestion import Congestion
from flowgauge.demo.acts.path_probes import PathProbes, Probed
from flowgauge.demo.acts.payments import Handshakes, Payments
from flowgauge.demo.acts.short_talk import ShortTalk, Talk
from flowgauge.demo.acts.tunnels import Tunnelled, Tunnels
from flowgauge.demo.cluster import Cluster, Pod

_Truth_co = TypeVar("_Truth_co", covariant=True)


class Act(Protocol[_Truth_co]):
    """A piece of the story: made with the cluster, whose pods it places then."""

    @property
    def pods(self) -> Sequence[Pod]:
        """Its pods: whoever counts sees them before any act plays."""

    def play(self) -> _Truth_co:
        """Does it, waits until its pods are quiet, and says what was so; EnvironmentProblem when it did not end in time."""


class LiveAct(Protocol[_Truth_co]):
    """A piece of the story that goes on while people watch."""

    @property
    def pods(self) -> Sequence[Pod]:
        """As of ``Act``."""

    @property
    def names(self) -> Mapping[str, str]:
        """What the cluster's DNS answers for it: ``service.namespace`` → address."""

    def go_on(self) -> None:
        """Starts what is due; never waits."""

    def end(self) -> None:
        """Begins no conversation any more; safe to call twice, and without a beginning."""

    def said(self) -> _Truth_co:
        """What was so until now."""


@dataclass(frozen=True, slots=True)
class Truths:
    """What the acts say was so; of one that did not play, None."""

    bulk: Transfer
    talk: Talk
    payments: Handshakes
    probed: Probed
    tunnelled: Tunnelled | None


@dataclass(frozen=True, slots=True)
class Programme:
    """The acts of a demo."""

    bulk: Act[Transfer]
    congestion: Act[None]
    talk: Act[Talk]
    payments: LiveAct[Handshakes]
    path_probes: Act[Probed]
    tunnels: Act[Tunnelled]

    @classmethod
    def placed(cls, cluster: Cluster) -> Self:
        """All acts on a cluster; no program of theirs runs."""
        bulk = BulkTransfer(cluster)
        return cls(
            bulk=bulk,
            congestion=Congestion(cluster),
            talk=ShortTalk(*bulk.pods),
            payments=Payments(cluster),
            path_probes=PathProbes(cluster),
            tunnels=Tunnels(cluster),
        )

    @property
    def pods(self) -> list[Pod]:
        """The pods of all acts."""
        acts = (self.bulk, self.congestion, self.talk, self.payments, self.path_probes, self.tunnels)
        return [pod for act in acts for pod in act.pods]

    def play_last(self, *, tunnels: bool) -> Truths:
        """Plays the last acts one after another; the load has ended.

        Args:
            tunnels: whether agents look into tunnels: else the flow that arrives is another one than that which was sent.

        Raises:
            EnvironmentProblem: an act did not end in time.
        """
        bulk, payments, probed = self.bulk.play(), self.payments.said(), self.path_probes.play()
        tunnelled = self.tunnels.play() if tunnels else None
        self.congestion.play()
        return Truths(bulk=bulk, talk=self.talk.play(), payments=payments, probed=probed, tunnelled=tunnelled)
