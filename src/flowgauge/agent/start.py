# SPDX-License-Identifier: Apache-2.0
"""The first part of an agent's start: the program is loaded and the devices are attached, by a thread, then signals loaded.

From then on packets are counted, while the calling thread imports the rest of the agent, which takes as long again. Before
it: :mod:`flowgauge.agent.kernel_side`, :mod:`flowgauge.agent.watch`; after it: :mod:`flowgauge.agent.main`.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import Future
from contextlib import suppress

from flowgauge.agent.interface_choice import InterfaceChoice
from flowgauge.agent.interfaces import Interfaces
from flowgauge.agent.kernel_side import KernelSide
from flowgauge.agent.local_addresses import LocalAddresses
from flowgauge.agent.namespace import Namespace
from flowgauge.agent.settings import AgentSettings
from flowgauge.agent.watch import NetworkWatch
from flowgauge.config.model import Exporter
from flowgauge.ebpf.parts import Parts
from flowgauge.errors import EnvironmentProblem, FlowgaugeError
from flowgauge.runtime import linux

_SWITCH_S = 0.0005
"""How long the importing thread may keep the interpreter from the attaching one, which asks for it ten times a device."""


class Start:
    """What observes, made of ``settings``; inert until ``begin``. ``parts``, when they are loaded for it already."""

    def __init__(self, settings: AgentSettings, parts: Parts | None = None) -> None:
        self.kernel = KernelSide(settings, parts)
        self.local = LocalAddresses()
        self.interfaces = Interfaces(self.kernel, interface_choice(settings.exporter), settings.node)
        self.namespace = Namespace(settings.netns)
        self.watch = NetworkWatch(self.namespace, [self.interfaces, self.local])
        self._chooses_pods = settings.exporter.chooses_pods
        self._done: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="start", daemon=True)
        self._switch_s = sys.getswitchinterval()

    def begin(self) -> None:
        """Loads, and attaches unless somebody must first say which pods are chosen; again: nothing."""
        if self._thread.ident is None:
            sys.setswitchinterval(_SWITCH_S)
            linux.allow_all_descriptors()  # each device has two hooks, each part of the program all maps
            self._thread.start()

    def wait(self) -> None:
        """Returns once what ``begin`` does for packets is done.

        Raises:
            EnvironmentProblem: the network namespace is missing, or what eBPF and packet sockets both need.
        """
        self._done.result()
        sys.setswitchinterval(self._switch_s)

    def attach(self) -> None:
        """Attaches, unless ``begin`` did.

        Raises:
            EnvironmentProblem: the network namespace is missing, or neither hooks nor packet sockets work here.
        """
        if self.watch.ready():
            return
        self.watch.start()
        capture_if_no_hook_works(self.kernel, self.interfaces, self.watch)

    def undo(self) -> None:
        """Takes away what there is: for a start that came to nothing."""
        if self._thread.ident is not None:
            self._thread.join()
            sys.setswitchinterval(self._switch_s)
            self.detach()
            self.watch.stop()
            self.kernel.program.close()
        self.namespace.close()

    def detach(self) -> None:
        """Takes every hook away."""
        if self.watch.ready():
            self.watch.run(self.interfaces.detach_all)
        else:
            self.interfaces.detach_all()

    def _run(self) -> None:
        try:
            self.kernel.load()
            if not self._chooses_pods:
                self.attach()
        except BaseException as error:  # noqa: BLE001 - told to who waits, whatever it is
            self._done.set_exception(error)
        else:
            self._done.set_result(None)
            with suppress(FlowgaugeError, OSError):  # whoever hooks them meets the same
                self.kernel.program.load_signals()


def capture_if_no_hook_works(kernel: KernelSide, interfaces: Interfaces, watch: NetworkWatch) -> None:
    """A kernel that loads the program but attaches it nowhere lacks TCX and clsact.

    Raises:
        EnvironmentProblem: packets cannot be captured, either.
    """
    refused = interfaces.refused
    while refused and interfaces.waiting:  # one of them may be taken yet
        watch.run(interfaces.more)
        refused = interfaces.refused
    if refused and not kernel.without_ebpf:
        kernel.capture(EnvironmentProblem(f"this kernel attaches the eBPF flow program to no device: {refused}"))
        watch.run(lambda: interfaces.move_to(kernel))


def interface_choice(exporter: Exporter) -> InterfaceChoice:
    """Which devices the document wants observed; UsageError when a pattern is wrong."""
    return InterfaceChoice(exporter.interfaces, exporter.exclude_interfaces)
