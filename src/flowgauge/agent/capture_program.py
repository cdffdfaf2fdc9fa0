# SPDX-License-Identifier: Apache-2.0
"""Counts packets of a packet socket in flows, where this machine does not let us load eBPF programs.

It stands in for :class:`flowgauge.ebpf.flow_program.FlowProgram`, with the same flows, intervals and counters. What it cannot
see without eBPF are round-trip times, retransmissions, drops, DNS and which process it was; packets that come faster than a
thread of Python takes them are lost, and counted by the kernel as such.

Before: :mod:`flowgauge.agent.capture_table`; after: :mod:`flowgauge.agent.flow_source`. Safe from any thread.
"""

from __future__ import annotations

import errno
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from flowgauge.agent import privileges
from flowgauge.agent.capture_choice import Choice
from flowgauge.agent.capture_fragments import Fragments
from flowgauge.agent.capture_packets import Numbers, Read, read
from flowgauge.agent.capture_ring import FRAME_BYTES, Frames, Ring
from flowgauge.agent.capture_table import Table
from flowgauge.agent.conntrack import Conntrack
from flowgauge.config.model import Feature
from flowgauge.ebpf import abi
from flowgauge.ebpf.chosen import Bits
from flowgauge.ebpf.cost import RunTime
from flowgauge.ebpf.flow_program import NotIp
from flowgauge.ebpf.map_reader import Entries
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.ebpf.tables import Evicted, empty
from flowgauge.ebpf.ticks import Ticks
from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import linux, logs
from flowgauge.runtime.clock import boot_offset_ns

RING_FRAMES = 65_536
"""Packets that may wait: 16 MiB of kernel memory, a fifth of a second at 300 000 packets/s."""
_POLL_S = (0.005, 0.1)
"""Shortest and longest time between two looks at the ring; idle, ten looks a second cost 0.2 % of a core."""
_BUSY_FRAMES = 4096
"""Packets found at a look, above which the next comes sooner."""
_IN_RING_NS = 10_000_000_000
"""A frame waits in the ring for less time than this, however busy the machine is."""
_WITHOUT_EBPF = "not visible without eBPF"

_log = logs.get("agent")


@dataclass(slots=True)
class _Device:
    """One device whose packets count; ``detach`` waits for those that were captured until now."""

    program: CaptureProgram
    ifindex: int
    lasting: bool = True

    @property
    def kind(self) -> str:
        """As of :class:`flowgauge.ebpf.hooks.Attachment`."""
        return CaptureProgram.kind

    def detach(self) -> None:
        """Its packets count no more."""
        self.program.detach(self.ifindex)


class CaptureProgram:
    """One packet socket; inert until ``load``.

    Args:
        options: of them ``max_flows``, ``sampling``, ``sampling_mode``, ``choice``, ``rules``, ``nat``, ``macs`` and ``netns``
            count.
        frames: that the ring holds.
    """

    kind = "af_packet"

    def __init__(self, options: ProgramOptions, frames: int = RING_FRAMES) -> None:
        self._options, self._frames = options, frames
        self._ring: Ring | None = None
        self._conntrack: Conntrack | None = None
        self._wanted: set[int] = set()
        self._table, self._fragments = Table(options.max_flows), Fragments()
        self._known = empty(abi.FLOW_KEY, abi.TRANSLATION)
        self._counted, self._counting = dict.fromkeys(_COUNTERS, 0), dict.fromkeys(_COUNTERS, 0)
        self._not_ip: dict[int, NotIp] = {}
        self._choice = Choice(options)
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def load(self) -> None:
        """Opens the socket in the network namespace of the options; OSError when the kernel refuses."""
        with _inside(self._options):
            self._ring = Ring(self._frames)
            self._conntrack = Conntrack() if self._options.nat else None
        self._known = self._translations()
        self._thread.start()

    def attach(self, ifindex: int, *, quick: bool = False) -> _Device:  # noqa: ARG002 - always is
        """From now on the packets of a device count."""
        with self._lock:
            self._take_all()
            self._wanted.add(ifindex)
        return _Device(self, ifindex)

    def detach(self, ifindex: int) -> None:
        """The packets of a device count no more."""
        with self._lock:
            self._take_all()
            self._wanted.discard(ifindex)

    def settle(self, ifindex: int, attachment: object) -> _Device:
        """OSError: nothing that it attaches is for a while only."""
        raise OSError(errno.EOPNOTSUPP, f"device {ifindex} is attached for good by {attachment}")

    def take_over(self, ifindex: int, attachment: object) -> None:
        """OSError: a packet socket takes nothing over."""
        raise OSError(errno.EOPNOTSUPP, f"device {ifindex} is attached anew, not in the place of {attachment}")

    def let_go(self) -> None:
        """Nothing of it runs in the kernel."""

    def choose(self, addresses: Bits) -> int:
        """Sets whose packets count, as ``options.choice`` says; 0 addresses find no room."""
        with self._lock:
            self._take_all()
            self._choice.choose(addresses)
        return 0

    def rates(self, rules: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
        """One of how many packets was taken, for flows with these ``abi.FLOW_VALUE["rule"]``."""
        return np.array(self._options.rates(), np.uint32)[rules]

    def load_signals(self) -> None:
        """There are none."""

    def attach_signals(self) -> None:
        """There are none."""

    def detach_signals(self) -> None:
        """There are none."""

    def evict(self) -> Evicted:
        """Takes all flows out."""
        with self._lock:
            self._take_all()
            self._known = self._translations()
            taken = self._table.take(self._known)
            flows = taken.flows
            if self._ring is not None:
                self._balance(int(flows.values["packets"].sum()), taken.seen_before, self._ring.dropped())
        return replace(Evicted.nothing(), keys=flows.keys, values=flows.values, macs=taken.macs)

    def ticks(self) -> Ticks:
        """Times of flows are ns of the monotonic clock."""
        return Ticks(1, boot_offset_ns())

    def known_translations(self) -> Entries:
        """As they were at the last ``evict``."""
        return self._known

    def counters(self) -> dict[str, int]:
        """Under the ledger's names, as they were at the last ``evict``."""
        with self._lock:
            return {f"kernel_packets_{name}": value for name, value in self._counted.items()}

    def not_ip(self) -> dict[int, NotIp]:
        """Frames that are not IP, by the ifIndex of the device, both directions."""
        with self._lock:
            return dict(self._not_ip)

    def features(self) -> dict[str, str]:
        """What is seen, in words, by the document's feature name."""
        signals = [feature for feature in Feature if feature is not Feature.RTT_HISTOGRAM]  # that is a form of another
        asked = {feature.value: getattr(self._options, _snake(feature.value)) for feature in signals}
        states = {name: _WITHOUT_EBPF if on else "off" for name, on in asked.items()}
        states["macs"] = "on" if self._options.macs else "off"
        states["tunnels"] = _WITHOUT_EBPF if self._options.tunnels else "off"
        if self._options.nat:
            states["nat"] = "on" if self._conntrack else "not visible: connection tracking cannot be read"
        return states

    def outdated(self) -> bool:
        """Never: nothing would be seen by starting again."""
        return False

    def map_bytes(self) -> dict[str, int]:
        """Kernel memory of the ring."""
        return {"ring": self._frames * FRAME_BYTES}

    def run_times(self) -> dict[str, RunTime]:
        """There are no programs in the kernel."""
        return {}

    def close(self) -> None:
        """Gives the socket back; safe to call twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            ring, self._ring = self._ring, None
            if ring is not None:
                ring.close()
            if self._conntrack is not None:
                self._conntrack.close()
                self._conntrack = None

    def _run(self) -> None:
        """Empties the ring before it is full, whatever the other threads do."""
        wait_s = _POLL_S[1]
        while not self._stopping.wait(wait_s):
            with self._lock:
                found = self._take_all()
            wait_s = max(_POLL_S[0], wait_s / 4) if found > _BUSY_FRAMES else min(_POLL_S[1], wait_s * 2)

    def _take_all(self) -> int:
        """Adds what is in the ring to the table; how many frames there were: at most one ring full."""
        total = 0
        while self._ring is not None and total < self._frames:
            frames = self._ring.take()
            if not len(frames):
                break
            total += len(frames)
            self._add(frames)
        return total

    def _add(self, frames: Frames) -> None:
        chosen = np.isin(frames["ifindex"], list(self._wanted))
        if not chosen.all():
            frames = frames.view(np.uint8).reshape(-1, FRAME_BYTES)[chosen].reshape(-1).view(frames.dtype)
        if not len(frames):
            return
        found = read(frames, self._fragments, macs=self._options.macs)
        at_ns = monotonic_times(found.packets.at_ns, boot_offset_ns(), time.monotonic_ns())
        packets = replace(found.packets, at_ns=at_ns, until_ns=at_ns)
        self._counting["seen"] += found.seen
        self._counting["parse_error"] += found.parse_errors
        self._counting["not_ip"] += found.not_ip
        self._add_not_ip(found)
        taken, filtered, sampled_out = self._choice.apply(packets)
        self._counting["filtered"] += filtered
        self._counting["sampled_out"] += sampled_out
        self._table.add(taken)

    def _add_not_ip(self, found: Read) -> None:
        ifindexes = found.not_ip_points & ~np.uint32(abi.OBSERVED_EGRESS)
        for ifindex in np.unique(ifindexes).tolist():
            here = ifindexes == ifindex
            before = self._not_ip.get(ifindex, NotIp(0, 0))
            self._not_ip[ifindex] = NotIp(before.packets + int(here.sum()), before.bytes + int(found.not_ip_bytes[here].sum()))

    def _balance(self, in_flows: int, seen_before: int, ring_full: int) -> None:
        """Makes the counters those of this moment, so that they always add up."""
        now = self._counting
        now["in_flows"] += in_flows
        now["seen_before"] += seen_before
        now["table_full"] = self._table.full
        now["seen"] += ring_full - now["ring_full"]
        now["ring_full"] = ring_full
        self._counted = dict(now)

    def _translations(self) -> Entries:
        if self._conntrack is not None:
            try:
                return self._conntrack.translations()
            except OSError as error:
                _log.warning("translations_not_read", error=str(error))
                self._conntrack.close()
                self._conntrack = None
        return empty(abi.FLOW_KEY, abi.TRANSLATION)


def monotonic_times(wall_ns: Numbers, offset_ns: int, now_ns: int) -> Numbers:
    """When packets came, in ns of the monotonic clock: the kernel stamps frames by the wall clock, which may be set meanwhile.

    Args:
        wall_ns: by the frames.
        offset_ns: what to take off them.
        now_ns: by the monotonic clock; where a frame can hardly have waited since its time, this is taken.
    """
    at_ns = wall_ns.astype(np.int64) - offset_ns
    return np.where(np.abs(now_ns - at_ns) <= _IN_RING_NS, at_ns, now_ns).astype(np.uint64)


_COUNTERS = (*(abi.KERNEL_COUNTERS.names or ()), "ring_full")


def _snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


@contextmanager
def _inside(options: ProgramOptions) -> Iterator[None]:
    """In the namespace whose packets are captured; entering one's own would need a capability for nothing."""
    if options.netns == ProgramOptions().netns:
        yield
        return
    with linux.in_netns(str(options.netns)):
        yield


def opened(options: ProgramOptions, problem: EnvironmentProblem) -> CaptureProgram:
    """A packet socket instead of the eBPF program, which cannot be used because of ``problem``; the log says so.

    Raises:
        EnvironmentProblem: packets cannot be captured, either.
    """
    if not privileges.may_capture():
        raise problem
    program = CaptureProgram(options)
    try:
        program.load()
    except OSError as error:
        raise EnvironmentProblem(f"{problem}; and packets cannot be captured instead: {error}") from error
    missing = ", ".join(name for name, state in program.features().items() if state == _WITHOUT_EBPF)
    _log.warning("observing_without_ebpf", why=why(options, problem), way=program.kind, not_measured=missing)
    return program


def why(options: ProgramOptions, problem: EnvironmentProblem) -> str:
    """The problem in a sentence, and what of the document's choice has no effect because of it."""
    directed = any(rule.egress is not None for rule in options.rules)
    return f"{problem}; rules by direction match nothing without eBPF" if directed else str(problem)
