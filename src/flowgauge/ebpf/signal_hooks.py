# SPDX-License-Identifier: Apache-2.0
"""The signals that need hooks of their own: which programs each has, whether this kernel takes them, and their tracepoints.

A kernel that refuses one signal still gives the others: when their programs do not load together, each signal is tried by
itself. The answer has three values: available, not supported (with the Linux version that has it), or could not tell, when
the refusal says nothing about the kernel (a policy, a missing capability, no memory).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from flowgauge.ebpf.libbpf import Link, LoadError
from flowgauge.ebpf.parts import Parts
from flowgauge.runtime import logs

_log = logs.get("ebpf")


class Support(StrEnum):
    """Whether this kernel gives a signal."""

    AVAILABLE = "available"
    NOT_SUPPORTED = "not supported"
    COULD_NOT_TELL = "could not tell"


@dataclass(frozen=True, slots=True)
class Way:
    """Programs that measure a signal together, and in words what they lack beside the preferred way."""

    programs: frozenset[str]
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal.

    Attributes:
        name: as in the document's ``features``.
        ways: how it can be measured, the preferred way first; one is taken.
        since: the first Linux version that has what the last way needs.
    """

    name: str
    ways: tuple[Way, ...]
    since: str


_OWNERS = frozenset({"on_owner_state", "on_tcp_read"})
_NO_RECEIVER = "without the state of the socket that was to receive the packet: needs Linux >= 6.11"

SIGNALS: tuple[Signal, ...] = (
    Signal("rtt", (Way(frozenset({"on_tcp_receive", "on_retransmit", "on_retransmit_synack", "on_tcp_state"})),), "5.9"),
    Signal("drops", (Way(frozenset({"on_drop_at_socket"})), Way(frozenset({"on_drop"}), _NO_RECEIVER)), "5.17"),
    Signal(
        "process",
        (Way(_OWNERS | {"on_datagram_sent", "on_datagram_received"}), Way(_OWNERS, "of TCP only: UDP needs Linux >= 6.3")),
        "5.11",
    ),
    # After "process", so that at a tracepoint of both the owner is known before the event is told.
    Signal("sockets", (Way(frozenset({"on_socket_event", "on_connect_again"})),), "5.11"),
)

_ON = "on"


@dataclass(frozen=True, slots=True)
class Answer:
    """What this kernel says to one signal; ``words`` for people, ``programs`` those to load."""

    support: Support
    words: str
    programs: frozenset[str] = frozenset()


def load(names: Iterable[str], add: Callable[[frozenset[str]], object]) -> dict[str, Answer]:
    """What the kernel says to each signal among ``names``; ``add`` loads programs, which stay loaded."""
    wanted = set(names)
    hoped = {s.name: Answer(Support.AVAILABLE, _ON, s.ways[0].programs) for s in SIGNALS if s.name in wanted}
    try:
        add(frozenset[str]().union(*(answer.programs for answer in hoped.values())))
    except LoadError:
        return _ask(wanted, add)
    return hoped


def is_measured(words: str) -> bool:
    """Whether these words of a feature say that it is measured, if only in part."""
    return words.partition(",")[0] == _ON


def _ask(names: Iterable[str], add: Callable[[frozenset[str]], object]) -> dict[str, Answer]:
    """What the kernel says to each signal among ``names``, tried by itself; ``add`` as above."""
    wanted = set(names)
    return {signal.name: _ask_one(signal, add) for signal in SIGNALS if signal.name in wanted}


def _ask_one(signal: Signal, add: Callable[[frozenset[str]], object]) -> Answer:
    answer = Answer(Support.COULD_NOT_TELL, "could not tell")
    for way in signal.ways:
        try:
            add(way.programs)
        except LoadError as error:
            answer = refusal(signal, error)
        else:
            return Answer(Support.AVAILABLE, ", ".join(filter(None, (_ON, way.lacks))), way.programs)
    return answer


def refusal(signal: Signal, error: LoadError) -> Answer:
    """What a refusal says of the kernel."""
    if error.lasts:
        return Answer(Support.NOT_SUPPORTED, f"not supported: needs Linux >= {signal.since}")
    return Answer(Support.COULD_NOT_TELL, f"could not tell: {error.strerror}")


class Tracepoints:
    """The programs of the available signals at their tracepoints; inert until ``attach``."""

    def __init__(self, loaded: Parts, answers: Mapping[str, Answer]) -> None:
        self._loaded = loaded
        self.answers = dict(answers)
        self._links: list[Link] = []

    def attach(self) -> None:
        """Hooks every available signal; one that the kernel refuses here becomes unavailable, and the answers say so."""
        for signal in SIGNALS:
            answer = self.answers.get(signal.name)
            if answer is None or answer.support is not Support.AVAILABLE:
                continue
            try:
                for program in sorted(answer.programs):
                    self._links.append(self._loaded.attach(program))
            except LoadError as error:
                _log.warning("signal_not_hooked", signal=signal.name, error=error.strerror, log=error.log)
                self.answers[signal.name] = refusal(signal, error)

    def detach(self) -> None:
        """Takes all hooks away; safe to call twice."""
        while self._links:
            self._links.pop().detach()
