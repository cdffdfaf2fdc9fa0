# SPDX-License-Identifier: Apache-2.0
"""What this kernel gives an agent, tried hook by hook on a scratch network namespace; nothing of the machine's own is touched.

Each answer has three values: a version number proves nothing (distributions add and take away), and a refusal for lack of a
capability says nothing about the kernel. Shown by ``flowgauge doctor --kernel``.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flowgauge.agent import privileges
from flowgauge.agent.capture_ring import Ring
from flowgauge.ebpf import bpf_syscall, cost, hooks
from flowgauge.ebpf.bpf_syscall import Direction
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.kernel_types import KERNEL_BTF
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.ebpf.signal_hooks import SIGNALS, Support
from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import linux

_LOOPBACK = 1
"""ifIndex of the loopback device of a fresh namespace."""
_PROGRAM, _TCX, _CLSACT, _CAPTURE = "flow program", "TCX hooks", "clsact filters", "packet socket with a ring"
_SINCE = "5.10"
"""Of the flow program."""
EVERYTHING = ProgramOptions(
    max_flows=64,
    rtt=True,
    drops=True,
    dns=True,
    server_time=True,
    process=True,
    sockets=True,
    tls=True,
    icmp_errors=True,
    macs=True,
    tunnels=True,
)
"""All that an agent may be told to measure: what is switched off the kernel does not look at."""
_MEANS_NO = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT, errno.ENOSYS, errno.ENOPROTOOPT, errno.EAFNOSUPPORT})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the kernel says to one hook.

    Attributes:
        hook: its name.
        since: the first Linux version that has it.
        without: what is lost when it is not there.
        detail: why it is not there, or why that is not known; of what is there, what it lacks.
    """

    hook: str
    since: str
    without: str
    support: Support
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Probe:
    hook: str
    since: str
    without: str
    run: Callable[[FlowProgram | None], None]
    """Returns when it works; OSError, EnvironmentProblem or LookupError (says in words what is missing) when not."""


def answers() -> list[Answer]:
    """All answers; takes about a second. Loads the flow program once, with every signal, when that is possible."""
    program = FlowProgram(EVERYTHING)
    refused = _refusal(program)
    try:
        found = [_ask(probe, None if refused else program, refused) for probe in _PROBES]
        return [*found, *_signals(program, refused)]
    finally:
        program.close()


def _refusal(program: FlowProgram) -> str:
    """Loads the program; why that cannot be, or empty."""
    if lacking := privileges.missing(privileges.effective(), netns=False):
        return f"{', '.join(lacking)} missing: ask as root"
    try:
        program.load()
    except (EnvironmentProblem, OSError) as problem:
        return str(problem)
    return ""


def can_observe(found: list[Answer]) -> bool:
    """Whether an agent has any way to count packets here, by what was found."""
    there = {answer.hook for answer in found if answer.support is Support.AVAILABLE}
    return _CAPTURE in there or (_PROGRAM in there and bool({_TCX, _CLSACT} & there))


def _ask(probe: _Probe, program: FlowProgram | None, refused: str) -> Answer:
    try:
        probe.run(program)
    except LookupError as problem:
        return _answer(probe, Support.NOT_SUPPORTED, str(problem.args[0]))
    except OSError as error:
        no = error.errno in _MEANS_NO
        return _answer(probe, Support.NOT_SUPPORTED if no else Support.COULD_NOT_TELL, error.strerror or str(error))
    except EnvironmentProblem:
        return _answer(probe, Support.COULD_NOT_TELL, refused)
    return _answer(probe, Support.AVAILABLE)


def _answer(probe: _Probe, support: Support, detail: str = "") -> Answer:
    return Answer(probe.hook, probe.since, probe.without, support, detail)


def _signals(program: FlowProgram, refused: str) -> Iterator[Answer]:
    told = {} if refused else program.answers()
    for signal in SIGNALS:
        without = _LOST.get(signal.name, f"signal {signal.name}")
        answer = told.get(signal.name)
        if answer is None:
            yield Answer(f"signal {signal.name}", signal.since, without, Support.COULD_NOT_TELL, refused)
        else:
            detail = answer.words if answer.support is not Support.AVAILABLE else answer.words.partition(", ")[2]
            yield Answer(f"signal {signal.name}", signal.since, without, answer.support, detail)
    for name, without in _OF_PACKETS.items():
        support = Support.COULD_NOT_TELL if refused else Support.AVAILABLE
        yield Answer(f"signal {name}", _SINCE, without, support, refused)


def _types(_: FlowProgram | None) -> None:
    if not KERNEL_BTF.exists():
        raise LookupError("built without CONFIG_DEBUG_INFO_BTF")


def _load(_: FlowProgram | None) -> None:
    if not bpf_syscall.probe_load():
        raise OSError(errno.EPERM, "refused, for lack of CAP_BPF, by lockdown, or by a seccomp profile")


def _flow_program(program: FlowProgram | None) -> None:
    _needed(program)


def _tcx(program: FlowProgram | None) -> None:
    descriptor = _needed(program).fd("flow_ingress")
    try:
        _in_scratch_netns(lambda: os.close(bpf_syscall.tcx_link(descriptor, _LOOPBACK, Direction.INGRESS)))
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise LookupError("this kernel knows no such links") from error
        raise


def _clsact(program: FlowProgram | None) -> None:
    programs = {Direction.INGRESS: _needed(program).fd("flow_ingress"), Direction.EGRESS: _needed(program).fd("flow_egress")}
    _in_scratch_netns(lambda: hooks.attach(_LOOPBACK, programs, tcx=False).detach())


def _batches(program: FlowProgram | None) -> None:
    _needed(program).evict()


def _translation(program: FlowProgram | None) -> None:
    words = _needed(program).features().get("nat", "off")
    if words != "on":
        raise LookupError(words.removeprefix("not visible: "))


def _statistics(_: FlowProgram | None) -> None:
    with cost.statistics():
        pass


def _packet_socket(_: FlowProgram | None) -> None:
    Ring(1024).close()


def _user_namespaces(_: FlowProgram | None) -> None:
    if not shutil.which("unshare"):
        raise OSError(errno.ENOEXEC, "unshare is not installed (Debian: apt-get install util-linux)")
    done = subprocess.run(["unshare", "--user", "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LookupError(done.stderr.strip().rpartition(": ")[2])


_LOST = {
    "rtt": "round-trip times, retransmits, ends of connections, handshakes",
    "drops": "packets that the kernel drops, and why",
    "process": "names and ids of processes",
    "sockets": "connections as sockets see them, with who opened them",
}
"""Of signals with hooks of their own: what is not known without them."""

_OF_PACKETS = {
    "dns": "questions, answers and names of DNS",
    "serverTime": "how long servers take to answer",
    "tls": "names of servers, versions and ciphers of TLS and QUIC",
    "icmpErrors": "which flows the errors of ICMP are about",
    "macs": "Ethernet addresses of flows",
    "tunnels": "inner flows of tunnels where they arrive",
}
"""Of signals that the flow program reads from packets, which is refused as a whole or not at all."""

_PROBES = (
    _Probe("type information (BTF)", "5.2", "all of eBPF: packets are captured by a packet socket, without signals", _types),
    _Probe("bpf(2)", "4.4", "all of eBPF, as above", _load),
    _Probe(_PROGRAM, _SINCE, "all of eBPF, as above", _flow_program),
    _Probe(_TCX, "6.6", "nothing: clsact filters are used, which a killed agent leaves behind until the next one", _tcx),
    _Probe(_CLSACT, "4.5", "nothing where there are TCX hooks; else all of eBPF (modules sch_ingress, cls_bpf)", _clsact),
    _Probe("map batches", "5.6", "flows of eBPF: they could not be read fast enough", _batches),
    _Probe("address translation", "6.2", "NAT: a Service and its pod are two conversations", _translation),
    _Probe("run time of programs", "5.8", "the agent's own cost in /metrics", _statistics),
    _Probe(_CAPTURE, "2.6.31", "the way that needs no eBPF", _packet_socket),
    _Probe("user namespaces", "3.8", "the demo without root", _user_namespaces),
)


def _needed(program: FlowProgram | None) -> FlowProgram:
    if program is None:
        raise EnvironmentProblem("the flow program is not loaded")
    return program


def _in_scratch_netns(work: Callable[[], None]) -> None:
    """Runs ``work`` in a network namespace that ends with it."""
    failure: list[OSError] = []

    def run() -> None:
        try:
            linux.new_netns()
            work()
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="probe")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
