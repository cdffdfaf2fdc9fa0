# SPDX-License-Identifier: Apache-2.0
"""Keeps the eBPF programs attached to the chosen devices as they come, go and change their names.

Before it: :mod:`flowgauge.agent.watch`, in whose thread ``on_links``, ``choose`` and ``move_to`` run. Readers of the status
may be any thread: what they get is replaced as a whole, never changed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flowgauge.agent.interface_choice import SAME_NODE_NOTE, InterfaceChoice, matches_nothing
from flowgauge.agent.rtnetlink import Link, Route
from flowgauge.runtime import logs

_log = logs.get("agent")
_SLICE_S = 0.1
"""Devices are attached for so long at a time when hundreds appear at once; then others are heard."""
_FEW = 4
"""More devices than these that wait are attached quickly first: the lasting way takes 10 to 30 ms each."""
_WAITS = "waits for its turn"
_PAST_NAMES = 4096
"""Names of devices that went away are remembered for flows still in the table, at most so many."""


class Attachment(Protocol):
    """One device's hooks."""

    @property
    def kind(self) -> str:
        """``tcx``, ``clsact`` or ``af_packet``."""

    @property
    def lasting(self) -> bool:
        """False when others are to come in its place."""

    def detach(self) -> None:
        """Takes the hooks away."""


class Attacher(Protocol):
    """What attaches: :class:`flowgauge.agent.flow_source.FlowSource`."""

    def attach(self, ifindex: int, *, quick: bool = False) -> Attachment:
        """Hooks both directions of a device of the calling thread's namespace, ``quick``: at once, for a while.

        OSError when the kernel refuses.
        """

    def settle(self, ifindex: int, attachment: Attachment) -> Attachment:
        """The lasting hooks, in the place of those for a while; OSError when the kernel refuses."""

    def take_over(self, ifindex: int, attachment: Attachment) -> None:
        """Hooks a device in the place of another program: each packet meets one of both; OSError when the kernel refuses."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One device of the node and how it is observed.

    Attributes:
        attached: ``tcx``, ``clsact``, ``af_packet``, or empty.
        problem: why a chosen device is not attached, or empty.
    """

    ifindex: int
    name: str
    chosen: bool
    attached: str = ""
    problem: str = ""


class Interfaces:
    """Attaches ``program`` to the devices that ``choice`` wants on ``node``."""

    def __init__(self, program: Attacher, choice: InterfaceChoice, node: str) -> None:
        self._program, self._choice, self._node = program, choice, node
        self._attachments: dict[int, Attachment] = {}
        self._links: list[Link] = []
        self._wanted: dict[int, Link] = {}
        self._waiting: list[Link] = []
        self._unsettled: list[int] = []
        self._ended = False
        self._problems: dict[int, str] = {}
        self._limit = logs.RateLimit()
        self._told: set[str] = set()
        self.interfaces: tuple[Interface, ...] = ()
        self.names: dict[int, str] = {}
        self.notes: tuple[str, ...] = ()
        self.attach_failures = 0

    def on_links(self, links: Sequence[Link], gone: set[int], within_s: float = _SLICE_S) -> None:
        """Attaches what is new and chosen, as far as ``within_s`` allows; detaches what is gone or not chosen any more."""
        if self._ended:
            return
        self._links = list(links)
        wanted = {link.ifindex: link for link in links if self._choice.wants(link.name)}
        for ifindex in [index for index in self._attachments if index in gone or index not in wanted]:
            self._detach(ifindex)
        self._wanted, self._problems = wanted, {}
        self._waiting = [link for index, link in wanted.items() if index not in self._attachments]
        self._attach_waiting(within_s)
        past = self.names if len(self.names) < _PAST_NAMES else {}
        self.names = {**past, **{link.ifindex: link.name for link in links}}
        self._tell_notes()

    def on_routes(self, links: Sequence[Link], routes: Sequence[Route]) -> None:
        """Routes do not matter here."""

    def more(self) -> bool:
        """Attaches some more of what waits, or for good what was attached quickly; whether there is more."""
        if self._waiting:
            self._attach_waiting(_SLICE_S)
        elif self._unsettled:
            self._settle(_SLICE_S)
        return bool(self._waiting or self._unsettled)

    def choose(self, choice: InterfaceChoice) -> None:
        """Applies another choice to the devices there are."""
        self._choice = choice
        self.on_links(self._links, set())

    def move_to(self, program: Attacher) -> None:
        """Puts ``program`` in the place of the present one: each packet meets one of both.

        Where the kernel does not take it so, the new one is attached before the present one is taken away; what both see is
        counted by the first only, since both stamp with the same salt; a packet socket stamps nothing and counts it, too.
        """
        self._program = program
        replaced: list[Attachment] = []
        for ifindex, attachment in list(self._attachments.items()):
            try:
                program.take_over(ifindex, attachment)
            except OSError as error:
                _log.debug("interface_not_taken_over", ifindex=ifindex, error=str(error))
                replaced.append(self._attachments.pop(ifindex))
        self.on_links(self._links, set(), math.inf)
        for attachment in replaced:
            _detach_quietly(attachment)

    def detach_all(self) -> None:
        """Takes every hook away, for good: what waits is attached no more, whatever the watch still tells."""
        self._ended = True
        self._waiting, self._unsettled = [], []
        for ifindex in list(self._attachments):
            self._detach(ifindex)
        self.interfaces = tuple(Interface(i.ifindex, i.name, i.chosen) for i in self.interfaces)

    @property
    def refused(self) -> str:
        """Why no device that was tried could be attached; empty when one is, or none was tried yet."""
        problems = [one.problem for one in self.interfaces if one.problem not in ("", _WAITS)]
        return problems[0] if problems and not self._attachments else ""

    @property
    def waiting(self) -> bool:
        """Whether there are devices whose turn has not come yet."""
        return bool(self._waiting)

    @property
    def unattached(self) -> int:
        """How many devices are chosen and not observed: those that wait for their turn, and those that refuse."""
        return sum(interface.chosen and not interface.attached for interface in self.interfaces)

    @property
    def attached(self) -> tuple[Interface, ...]:
        """The devices that are observed now."""
        return tuple(interface for interface in self.interfaces if interface.attached)

    def _attach_waiting(self, within_s: float) -> None:
        until, quick = time.monotonic() + within_s, len(self._waiting) > _FEW
        while self._waiting:
            link = self._waiting.pop(0)
            self._problems[link.ifindex] = self._attach(link, quick=quick)
            if time.monotonic() > until:
                break
        self._describe()

    def _settle(self, within_s: float) -> None:
        """A device that is gone, or whose kernel refuses, keeps what it has."""
        until = time.monotonic() + within_s
        while self._unsettled and time.monotonic() <= until:
            ifindex = self._unsettled.pop(0)
            attachment = self._attachments.get(ifindex)
            if attachment is None or attachment.lasting:
                continue
            try:
                self._attachments[ifindex] = self._program.settle(ifindex, attachment)
            except OSError as error:
                _log.debug("interface_not_settled", interface=self.names.get(ifindex, ""), error=str(error))
        self._describe()

    def _attach(self, link: Link, *, quick: bool) -> str:
        """Attaches one device; the problem in words, or empty."""
        try:
            attachment = self._program.attach(link.ifindex, quick=quick)
        except OSError as error:
            self.attach_failures += 1
            problem = error.strerror or str(error)
            allowed, held_back = self._limit.allow(link.name)
            if allowed:
                _log.warning("interface_attach_failed", interface=link.name, error=problem, held_back=held_back)
            return problem
        self._attachments[link.ifindex] = attachment
        if not attachment.lasting:
            self._unsettled.append(link.ifindex)
        _log.info("interface_attached", interface=link.name, ifindex=link.ifindex, kind=attachment.kind)
        return ""

    def _detach(self, ifindex: int) -> None:
        _detach_quietly(self._attachments.pop(ifindex))
        _log.info("interface_detached", interface=self.names.get(ifindex, ""), ifindex=ifindex)

    def _describe(self) -> None:
        waiting = {link.ifindex for link in self._waiting}
        self.interfaces = tuple(self._described(link, _WAITS if link.ifindex in waiting else "") for link in self._links)

    def _described(self, link: Link, waits: str) -> Interface:
        attachment = self._attachments.get(link.ifindex)
        return Interface(
            ifindex=link.ifindex,
            name=link.name,
            chosen=link.ifindex in self._wanted,
            attached=attachment.kind if attachment else "",
            problem=self._problems.get(link.ifindex, waits),
        )

    def _tell_notes(self) -> None:
        """What the choice hides, each sentence once in the log as long as it holds."""
        names = [link.name for link in self._links if not link.loopback]
        notes = {text: matches_nothing(text, self._node, names) for text in self._choice.unmatched(names)}
        if self._choice.only_named:
            notes["same-node"] = SAME_NODE_NOTE
        for key in notes.keys() - self._told:
            _log.warning("interfaces_hide_traffic", note=notes[key])
        self._told = set(notes)
        self.notes = tuple(notes.values())


def _detach_quietly(attachment: Attachment) -> None:
    """A device that is gone took its hooks with it."""
    try:
        attachment.detach()
    except OSError as error:
        _log.debug("interface_detach_failed", error=str(error))
