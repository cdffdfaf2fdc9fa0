# SPDX-License-Identifier: Apache-2.0
"""Choice of devices, and the programs that follow them."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

import pytest

from flowgauge.agent.interface_choice import SAME_NODE_NOTE, InterfaceChoice, matches_nothing
from flowgauge.agent.interfaces import Attachment, Interfaces
from flowgauge.agent.rtnetlink import ARPHRD_LOOPBACK, Link
from flowgauge.errors import UsageError
from flowgauge.runtime import logs

LO = Link(1, "lo", hardware=ARPHRD_LOOPBACK)
ENS3, VETH1, VETH2 = Link(2, "ens3"), Link(3, "veth1", "veth"), Link(4, "veth2", "veth")


@dataclass
class Hook:
    """One attached device of a ``Program``."""

    program: Program
    ifindex: int
    kind: str = "tcx"
    lasting: bool = True

    def detach(self) -> None:
        self.program.hooks.discard(self.ifindex)


@dataclass
class Program:
    """Stands for the eBPF program: remembers where it is attached."""

    hooks: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    in_place: bool = True
    calls: list[int] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)

    def attach(self, ifindex: int, *, quick: bool = False) -> Hook:
        self.calls.append(ifindex)
        if ifindex in self.refused:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        self.hooks.add(ifindex)
        return Hook(self, ifindex, "clsact", lasting=False) if quick else Hook(self, ifindex)

    def settle(self, ifindex: int, attachment: Attachment) -> Hook:
        assert not attachment.lasting
        self.settled.append(ifindex)
        if ifindex in self.refused:
            raise OSError(errno.ENODEV, "No such device")
        return Hook(self, ifindex)

    def take_over(self, ifindex: int, attachment: Attachment) -> None:
        if not self.in_place:
            raise OSError(errno.EINVAL, "Invalid argument")
        assert isinstance(attachment, Hook)
        attachment.program.hooks.discard(ifindex)
        self.hooks.add(ifindex)
        attachment.program = self


@pytest.mark.parametrize(
    ("include", "exclude", "wanted"),
    [
        ([], ["lo"], ["ens3", "veth1", "veth2"]),
        (["ens3"], ["lo"], ["ens3"]),
        (["ens"], [], []),
        (["/^veth/"], [], ["veth1", "veth2"]),
        (["/eth/", "ens3"], ["veth2"], ["ens3", "veth1"]),
        ([], ["/./"], []),
        (["/"], [], []),
    ],
)
def test_names_are_exact_and_slashes_make_a_regex(include: list[str], exclude: list[str], wanted: list[str]) -> None:
    choice = InterfaceChoice(include, exclude)
    assert [name for name in ("lo", "ens3", "veth1", "veth2") if choice.wants(name)] == wanted


def test_a_wrong_regex_is_told_with_its_text() -> None:
    with pytest.raises(UsageError, match=r"/eth\(/ is not a regular expression"):
        InterfaceChoice(["/eth(/"])


def test_the_sentence_for_a_name_that_matches_nothing() -> None:
    assert matches_nothing("eth0", "node-x", ["ens3"]) == "eth0 matches nothing on node-x (it has ens3)"
    assert matches_nothing("eth0", "n", [f"v{i}" for i in range(10)]).endswith("v6, v7 and 2 more)")
    assert matches_nothing("eth0", "n", []) == "eth0 matches nothing on n (it has no devices)"


def test_hooks_follow_devices_that_come_and_go() -> None:
    program = Program()
    interfaces = Interfaces(program, InterfaceChoice([], ["lo"]), "n")
    interfaces.on_links([LO, ENS3, VETH1], set())
    assert program.hooks == {2, 3}
    interfaces.on_links([LO, ENS3, VETH2], {3})
    assert program.hooks == {2, 4}
    assert [i.name for i in interfaces.attached] == ["ens3", "veth2"]
    assert interfaces.names[3] == "veth1"  # its last flows still name it


def test_a_device_made_again_under_the_same_index_is_attached_again() -> None:
    program = Program()
    interfaces = Interfaces(program, InterfaceChoice(), "n")
    interfaces.on_links([VETH1], set())
    interfaces.on_links([Link(3, "other")], {3})
    assert program.calls == [3, 3]
    assert program.hooks == {3}


def test_a_renamed_device_is_chosen_by_its_new_name() -> None:
    program = Program()
    interfaces = Interfaces(program, InterfaceChoice(["eth0"]), "n")
    interfaces.on_links([Link(7, "tmp0")], set())
    assert program.hooks == set()
    interfaces.on_links([Link(7, "eth0")], set())
    assert program.hooks == {7}
    interfaces.on_links([Link(7, "eth9")], set())
    assert program.hooks == set()


def test_a_device_that_refuses_is_told_tried_again_and_does_not_stop_the_others() -> None:
    program = Program(refused={3})
    interfaces = Interfaces(program, InterfaceChoice(), "n")
    interfaces.on_links([VETH1, VETH2], set())
    assert program.hooks == {4}
    assert {i.name: i.problem for i in interfaces.interfaces} == {"veth1": "Operation not supported", "veth2": ""}
    program.refused.clear()
    interfaces.on_links([VETH1, VETH2], set())
    assert program.hooks == {3, 4}
    assert interfaces.attach_failures == 1


def test_many_devices_at_once_are_attached_quickly_and_then_for_good() -> None:
    program = Program()
    interfaces = Interfaces(program, InterfaceChoice(), "n")
    links = [Link(number, f"v{number}", "veth") for number in range(10, 30)]
    interfaces.on_links(links, set())
    assert {one.attached for one in interfaces.interfaces} == {"clsact"}
    program.refused = {12}
    interfaces.on_links(links[1:], {10})
    while interfaces.more():
        pass
    assert program.settled == [*range(11, 30)], "not that which is gone, and each once"
    assert {one.name for one in interfaces.attached if one.attached == "clsact"} == {"v12"}, "it keeps what it has"
    assert interfaces.unattached == interfaces.attach_failures == 0


def test_a_few_devices_are_attached_for_good_at_once() -> None:
    program = Program()
    interfaces = Interfaces(program, InterfaceChoice(), "n")
    interfaces.on_links([ENS3, VETH1, VETH2], set())
    assert {one.attached for one in interfaces.interfaces} == {"tcx"}
    assert not interfaces.more()


def test_what_waits_is_attached_no_more_once_all_is_detached() -> None:
    """Filters would outlive the agent."""
    program = Program()
    interfaces = Interfaces(program, InterfaceChoice(), "n")
    links = [Link(number, f"v{number}", "veth") for number in range(10, 30)]
    interfaces.on_links(links, set(), within_s=-1.0)
    assert (len(program.hooks), interfaces.unattached) == (1, 19)
    interfaces.detach_all()
    assert not interfaces.more()
    interfaces.on_links(links, set())
    assert program.hooks == set()
    assert program.calls == [10]


class Alone(Link):
    """A device that nobody may compare with another: five thousand of them would be compared for a quarter of a minute."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError(f"{self.name} was compared with {other}")

    __hash__ = None  # type: ignore[assignment]


def test_devices_that_wait_are_not_looked_up_one_by_one() -> None:
    interfaces = Interfaces(Program(), InterfaceChoice(), "n")
    interfaces.on_links([Alone(number, f"v{number}", "veth") for number in range(10, 30)], set(), within_s=-1.0)
    assert [one.problem for one in interfaces.interfaces] == ["", *["waits for its turn"] * 19]


def test_what_refuses_every_device_is_told_and_waiting_is_no_refusal() -> None:
    program = Program(refused={10})
    interfaces = Interfaces(program, InterfaceChoice(), "n")
    interfaces.on_links([Link(number, f"v{number}", "veth") for number in range(10, 12)], set(), within_s=-1.0)
    assert interfaces.refused == "Operation not supported"
    assert interfaces.waiting
    interfaces.more()
    assert interfaces.refused == ""
    assert not interfaces.waiting


def test_what_the_choice_hides_is_said_once() -> None:
    with logs.captured() as lines:
        interfaces = Interfaces(Program(), InterfaceChoice(["eth0"]), "node-x")
        interfaces.on_links([LO, ENS3], set())
        interfaces.on_links([LO, ENS3, VETH1], set())
    assert {line["note"] for line in lines if line["event"] == "interfaces_hide_traffic"} == {
        "eth0 matches nothing on node-x (it has ens3)",
        SAME_NODE_NOTE,
    }
    assert len([line for line in lines if line["event"] == "interfaces_hide_traffic"]) == 2
    assert interfaces.notes == ("eth0 matches nothing on node-x (it has ens3, veth1)", SAME_NODE_NOTE)


def test_a_regex_does_not_hide_the_nodes_inside() -> None:
    interfaces = Interfaces(Program(), InterfaceChoice(["/^veth/"]), "n")
    interfaces.on_links([VETH1], set())
    assert interfaces.notes == ()


def test_another_choice_is_applied_to_the_devices_there_are() -> None:
    program = Program()
    interfaces = Interfaces(program, InterfaceChoice(), "n")
    interfaces.on_links([ENS3, VETH1], set())
    interfaces.choose(InterfaceChoice(["ens3"]))
    assert program.hooks == {2}


@pytest.mark.parametrize("in_place", [True, False])
def test_another_program_takes_the_place_of_the_present_one(*, in_place: bool) -> None:
    first, second = Program(), Program(in_place=in_place)
    interfaces = Interfaces(first, InterfaceChoice(), "n")
    interfaces.on_links([ENS3, VETH1], set())
    interfaces.move_to(second)
    assert (first.hooks, second.hooks) == (set(), {2, 3})
    assert second.calls == ([] if in_place else [2, 3]), "attached anew only where it must be"
    interfaces.detach_all()
    assert second.hooks == set()
    assert interfaces.attached == ()
