# SPDX-License-Identifier: Apache-2.0
"""Which acts there are, and in which order the last ones play: the place to add one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from flowgauge.demo.acts.bulk import BulkTransfer, Transfer
from flowgauge.demo.cluster import Cluster, Pod

_Truth_co = TypeVar("_Truth_co", covariant=True)


class Act(Protocol[_Truth_co]):
    """A piece of the story: made with the cluster, whose pods it places then."""

    @property
    def pods(self) -> Sequence[Pod]:
        """Its pods: whoever counts sees them before any act plays."""

    def play(self) -> _Truth_co:
        """Does it, waits until its pods are quiet, and says what was so; EnvironmentProblem when it did not end in time."""


@dataclass(frozen=True, slots=True)
class Truths:
    """What the last acts say was so."""

    bulk: Transfer


@dataclass(frozen=True, slots=True)
class Programme:
    """The acts of a demo."""

    bulk: Act[Transfer]

    @classmethod
    def placed(cls, cluster: Cluster) -> Self:
        """All acts on a cluster; no program of theirs runs."""
        return cls(bulk=BulkTransfer(cluster))

    @property
    def pods(self) -> list[Pod]:
        """The pods of all acts."""
        return [*self.bulk.pods]

    def play_last(self) -> Truths:
        """Plays the last acts one after another; the load has ended.

        Raises:
            EnvironmentProblem: an act did not end in time.
        """
        return Truths(bulk=self.bulk.play())
