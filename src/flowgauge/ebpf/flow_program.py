# SPDX-License-Identifier: Apache-2.0
"""The flow program: loads ``flows.bpf.o``, hooks devices, and hands out what the kernel counted as arrays.

Before it: the packets; after it: :mod:`flowgauge.agent.flow_source`. ``attach`` acts on the calling thread's network
namespace; everything else may be called from any thread, and gives nothing any more once ``close`` was called.
"""

from __future__ import annotations

import errno
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.ebpf import abi, bpf_syscall, clsact, cost, hooks, signal_hooks, stamps
from flowgauge.ebpf.bpf_syscall import Direction
from flowgauge.ebpf.chosen import Bits, ChosenAddresses
from flowgauge.ebpf.hooks import Attachment
from flowgauge.ebpf.kernel_types import KERNEL_BTF
from flowgauge.ebpf.libbpf import LoadError, possible_cpus
from flowgauge.ebpf.map_reader import Entries, MapReader
from flowgauge.ebpf.parts import CLOCK, ETHERNET, OBJECT, PROBE, Parts
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.ebpf.signal_hooks import Answer
from flowgauge.ebpf.tables import Evicted, Tables, empty
from flowgauge.ebpf.ticks import Ticks
from flowgauge.ebpf.translations import Translations, join
from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import logs
from flowgauge.runtime.clock import boot_offset_ns

CONNTRACK_BTF = Path("/sys/kernel/btf/nf_conntrack")
"""There once connection tracking was loaded as a module; not where it is built into the kernel."""

_BARE = {Direction.INGRESS: "flow_ingress_l3", Direction.EGRESS: "flow_egress_l3"}
_ANY_FRAME = bytes(64)
_SK_BUFF_BYTES = 192
"""Size of ``struct __sk_buff`` in linux/bpf.h; the kernel takes a shorter or longer one when the rest is zero."""

_log = logs.get("ebpf")


@dataclass(frozen=True, slots=True)
class NotIp:
    """Frames that are not IP; bytes are those of layer 2."""

    packets: int
    bytes: int


class FlowProgram:
    """One load of the flow program; inert until ``load``.

    Args:
        options: what is fixed when it is loaded.
        begun: the object with these options, when it is loaded already or being so; its owner is this program from now on.
    """

    def __init__(self, options: ProgramOptions, begun: Parts | None = None) -> None:
        self._options = options
        self._own = begun or Parts(options)
        self._parts: Parts | None = None
        self._lock, self._signals_lock = threading.Lock(), threading.Lock()
        self._tracepoints: signal_hooks.Tracepoints | None = None
        self._limit = logs.RateLimit()
        self._claim: stamps.Claim | None = None
        self._epoch = 0
        self._blind = False

    def load(self) -> None:
        """Loads what counts packets of devices with Ethernet headers, and all maps.

        Raises:
            EnvironmentProblem: the object is not built, or the kernel refuses it.
        """
        if not OBJECT.exists():
            raise EnvironmentProblem(f"{OBJECT.name} is not built: run `make bpf` (needs clang)")
        if not (self._options.btf or KERNEL_BTF).exists():
            raise EnvironmentProblem("this kernel has no type information (CONFIG_DEBUG_INFO_BTF), which eBPF programs need")
        try:
            self._own.load()
            self._use(self._own)
        except LoadError as error:
            raise _refused(error) from error
        except EnvironmentProblem:  # it is of another version
            self._let_object_go()
            raise
        except OSError as error:
            self._let_object_go()
            raise EnvironmentProblem(f"the eBPF flow program is loaded, but its maps cannot be used: {error}") from error

    def _use(self, parts: Parts) -> None:
        self._parts = parts
        self._blind = not (CONNTRACK_BTF.exists() or self._sees_nat())
        self._epoch_fd = parts.map_fd(".data.epoch")
        self._chosen = ChosenAddresses(parts.map_fd("chosen"))
        self._tables = Tables(parts.map_fd, self._options.map_sizes())
        self._translations = MapReader(parts.map_fd("translations"), abi.FLOW_KEY, abi.TRANSLATION)
        self._not_ip = MapReader(parts.map_fd("not_ip"), np.dtype(np.uint32), abi.NOT_IP_VALUE)

    def load_signals(self) -> None:
        """Loads the programs of as many signals as the kernel takes; nothing when they are loaded, or this is not.

        Whoever hooks them or asks for them has them loaded; done before, in another thread, it is done when they are needed.
        """
        with self._signals_lock:
            if self._parts is not None and self._tracepoints is None:
                answers = signal_hooks.load(self._options.signals(), self._parts.add)
                self._tracepoints = signal_hooks.Tracepoints(self._parts, answers)

    def attach_signals(self) -> None:
        """Hooks the signals' tracepoints, which are this machine's, in all network namespaces."""
        self.load_signals()
        if self._tracepoints is not None:
            self._tracepoints.attach()

    def detach_signals(self) -> None:
        """Takes the signals' hooks away; what they measured stays for the next eviction. Safe to call twice."""
        if self._tracepoints is not None:
            self._tracepoints.detach()

    def attach(self, ifindex: int, *, quick: bool = False) -> Attachment:
        """Hooks both directions of a device, ``quick``: until ``settle``; OSError when the kernel refuses.

        The first call also agrees with the other agents of the namespace, and removes what killed ones left there.
        """
        if self._join():
            _sweep()
        return hooks.attach(ifindex, self._programs_for(ifindex), tcx=self._options.tcx, quick=quick)

    def settle(self, ifindex: int, attachment: object) -> Attachment:
        """Puts lasting hooks in the place of quick ones, without a gap; OSError when the kernel refuses."""
        return hooks.settle(ifindex, attachment, self._programs_for(ifindex), tcx=self._options.tcx)

    def take_over(self, ifindex: int, attachment: object) -> None:
        """Hooks a device in the place of another load of the program: each packet meets one of both.

        OSError when the kernel refuses, also in the middle. The other may run on until ``let_go`` of it returns.
        """
        self._join()
        hooks.update(attachment, self._programs_for(ifindex))

    def _join(self) -> bool:
        """Has packets stamped as is agreed with the agents of this namespace; whether that was not so yet."""
        if self._claim is not None:
            return False
        self._claim = stamps.claim(self._options.salt)
        first, stamp = np.zeros(1, np.uint32), np.frombuffer(bytes(self._claim.stamp), np.uint8)
        bpf_syscall.update(self.map_fd(".data.stamp"), first.ctypes.data, stamp.ctypes.data)
        return True

    def let_go(self) -> None:
        """Returns when no hook runs any more, all being taken away or over; what they counted is complete then."""
        bpf_syscall.wait_for_programs()

    def _programs_for(self, ifindex: int) -> dict[Direction, int]:
        """Those of a device, loaded now when it is the first of its kind; OSError when the kernel refuses."""
        chosen = ETHERNET if hooks.device(ifindex).ethernet else _BARE
        try:
            self._loaded().add(frozenset(chosen.values()))
        except LoadError as error:
            self._tell(error)
            raise
        return {way: self.fd(name) for way, name in chosen.items()}

    def _tell(self, error: LoadError) -> None:
        """The verifier's own words, of which whoever attaches a device has only the number at their end."""
        allowed, held_back = self._limit.allow("load")
        if allowed:
            _log.error("ebpf_load_failed", log=error.log, held_back=held_back)

    def fd(self, name: str) -> int:
        """File descriptor of a program, which this object owns; OSError (EBADF) when it is not loaded (any more)."""
        return self._loaded().program_fd(name)

    def map_fd(self, name: str) -> int:
        """File descriptor of a map, which this object owns; OSError (EBADF) when it is not loaded (any more)."""
        return self._loaded().map_fd(name)

    def evict(self) -> Evicted:
        """Takes all flows and signals out of their tables.

        Nothing is lost to programs that are just adding: a new epoch begins, and the flows of the one before are taken once no
        program that may know it still runs. What the kernel does not let go of stays for the next time, everything when it
        raises OSError.
        """
        with self._lock:
            if self._parts is None:
                return Evicted.nothing()
            self._begin_epoch()
            return self._tables.take(self._epoch)

    def choose(self, addresses: Bits) -> int:
        """Sets whose packets are counted, as ``options.choice`` says; how many addresses found no room."""
        with self._lock:
            return self._chosen.become(addresses) if self._parts is not None and self._options.choice else 0

    def rates(self, rules: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
        """One of how many packets was taken, for flows with these ``abi.FLOW_VALUE["rule"]``."""
        return np.array(self._options.rates(), np.uint32)[rules]

    def _loaded(self) -> Parts:
        parts = self._parts
        if parts is None:
            raise OSError(errno.EBADF, "the eBPF program is not loaded")
        return parts

    def _begin_epoch(self) -> None:
        self._epoch = (self._epoch + 1) % 256
        first, epoch = np.zeros(1, np.uint32), np.full(1, self._epoch, np.uint8)
        bpf_syscall.update(self._epoch_fd, first.ctypes.data, epoch.ctypes.data)
        bpf_syscall.wait_for_programs()

    def ticks(self) -> Ticks:
        """How to read the times of flows that are evicted about now."""
        first, reading = np.zeros(1, np.uint32), np.zeros(1, abi.CLOCK_READING)
        with self._lock:
            loaded = self._loaded()
            _run(loaded.program_fd(CLOCK))
            bpf_syscall.lookup(loaded.map_fd(".data.clock"), first.ctypes.data, reading.ctypes.data)
        return Ticks.at(int(reading["tick"][0]), int(reading["monotonic_ns"][0]) + boot_offset_ns())

    def known_translations(self) -> Entries:
        """What this node's address translation made of flows, as far as is known: ``abi.FLOW_KEY``, ``abi.TRANSLATION``."""
        try:
            with self._lock:
                if self._parts is not None and self._options.nat:
                    return self._translations.read()
        except OSError as error:
            _log.error("translations_not_read", error=str(error))
        return empty(abi.FLOW_KEY, abi.TRANSLATION)

    def translations(self, keys: abi.Structured) -> Translations:
        """What this node's address translation made of the flows ``keys`` (``abi.FLOW_KEY``)."""
        known = self.known_translations()
        return join(keys, known.keys, known.values)

    def counters(self) -> dict[str, int]:
        """Under the ledger's names: packets by what became of them (``kernel_packets_seen`` …), events of full tables."""
        packets = self._per_cpu("counters", abi.KERNEL_COUNTERS)
        events = self._per_cpu("signal_counts", abi.SIGNAL_COUNTERS)
        return {f"kernel_packets_{name}": value for name, value in packets.items()} | {
            f"kernel_{name}": value for name, value in events.items()
        }

    def _per_cpu(self, name: str, kind: np.dtype[Any]) -> dict[str, int]:
        """The members of a structure that every CPU has, added up."""
        per_cpu, first = np.zeros(possible_cpus(), kind), np.zeros(1, np.uint32)
        with self._lock:
            if self._parts is not None:
                bpf_syscall.lookup(self._parts.map_fd(name), first.ctypes.data, per_cpu.ctypes.data)
        return {member: int(per_cpu[member].sum()) for member in kind.names or ()}

    def not_ip(self) -> dict[int, NotIp]:
        """Frames that are not IP, by the ifIndex of the device, both directions."""
        with self._lock:
            if self._parts is None:
                return {}
            entries = self._not_ip.read()
        found: dict[int, NotIp] = {}
        for point, value in zip(entries.keys.tolist(), entries.values.tolist(), strict=True):
            ifindex = point & ~abi.OBSERVED_EGRESS
            before = found.get(ifindex, NotIp(0, 0))
            found[ifindex] = NotIp(before.packets + value[0], before.bytes + value[1])
        return found

    def features(self) -> dict[str, str]:
        """What this kernel lets the program see, in words, by the document's feature name: on, off, or why not.

        ``tunnels`` is on where inner packets count.
        """
        found = {
            "nat": "off",
            "rtt": "off",
            "drops": "off",
            "process": "off",
            "sockets": "off",
            "dns": _on(self._options.dns),
            "serverTime": _on(self._options.server_time),
            "tls": _on(self._options.tls),
            "icmpErrors": _on(self._options.icmp_errors),
            "macs": _on(self._options.macs),
            "tunnels": _on(self._options.tunnels),
        }
        if self._options.nat:
            found["nat"] = "on" if self._sees_nat() else "not visible: connection tracking is not loaded, or Linux < 6.2"
        return found | {name: answer.words for name, answer in self.answers().items()}

    def answers(self) -> dict[str, Answer]:
        """What this kernel says to each signal that has hooks of its own and is switched on, by its name."""
        self.load_signals()
        return {} if self._tracepoints is None else dict(self._tracepoints.answers)

    def map_bytes(self) -> dict[str, int]:
        """Kernel memory of each map, by its name."""
        with self._lock:
            loaded = self._parts
            if loaded is None:
                return {}
            return {name: cost.map_bytes(loaded.map_fd(name)) for name in (*self._options.map_sizes(), "translations")}

    def run_times(self) -> dict[str, cost.RunTime]:
        """How long each loaded program ran, by its name; zeros while the kernel's statistics are off."""
        with self._lock:
            loaded = self._parts
            if loaded is None:
                return {}
            return {name: cost.run_time(loaded.program_fd(name)) for name in sorted(loaded.programs() - {PROBE, CLOCK})}

    def outdated(self) -> bool:
        """Whether connection tracking was loaded since this program was: loaded again, it would see translation."""
        return self._options.nat and self._blind and CONNTRACK_BTF.exists()

    def _sees_nat(self) -> bool:
        return bool(_run(self.fd(PROBE)) & abi.FEATURE_NAT)

    def close(self) -> None:
        """Takes programs and maps out of the kernel, unless they are still attached; safe to call twice."""
        self.detach_signals()
        self._let_object_go()
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.release()

    def _let_object_go(self) -> None:
        with self._lock:
            self._parts = None
        self._own.close()


def _on(wanted: bool) -> str:  # noqa: FBT001 - named by what it says
    return "on" if wanted else "off"


def _run(program_fd: int) -> int:
    return bpf_syscall.test_run(program_fd, _ANY_FRAME, bytes(_SK_BUFF_BYTES), 1).result


def _sweep() -> None:
    try:
        removed = clsact.sweep()
    except OSError as error:
        _log.warning("sweep_failed", error=str(error))
        return
    if removed:
        _log.info("leftover_filters_removed", filters=removed)


def _refused(error: LoadError) -> EnvironmentProblem:
    """The kernel's refusal in one sentence; the verifier's own words go to the log."""
    if error.log:
        _log.error("ebpf_load_failed", log=error.log)
    hint = ""
    if error.errno == errno.EPERM or (error.errno == errno.EACCES and not error.log.strip()):  # else the verifier's
        hint = " (a seccomp profile, lockdown or a missing capability)"
    return EnvironmentProblem(f"this kernel refuses the eBPF flow program: {error.strerror}{hint}")
