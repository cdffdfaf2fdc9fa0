# SPDX-License-Identifier: Apache-2.0
"""The eBPF object in the kernel, loaded part by part: what is needed first comes first, what nobody needs never.

Its parts share one set of maps, which the first brings along with the constants. The kernel takes some 40 ms to verify each
program of flows, so packets are counted sooner when other programs wait. Imports no numpy, as :mod:`flowgauge.agent.options`.
Before it: :mod:`flowgauge.ebpf.libbpf`; after it: :mod:`flowgauge.ebpf.flow_program`. Safe from any thread.
"""

from __future__ import annotations

import errno
import functools
import threading
from concurrent.futures import Future, wait
from pathlib import Path

from flowgauge.ebpf.bpf_syscall import Direction
from flowgauge.ebpf.libbpf import Link, LoadError, Object
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.errors import EnvironmentProblem

PROBE, CLOCK = "probe_features", "read_clock"
ETHERNET = {Direction.INGRESS: "flow_ingress", Direction.EGRESS: "flow_egress"}
FIRST = frozenset({*ETHERNET.values(), PROBE, CLOCK})
"""What counts packets of most devices."""
OBJECT = Path(__file__).with_name("flows.bpf.o")
_NAME = "flowgauge"


class Parts:
    """What ``options`` make of the object, ``first`` these programs; inert until ``begin`` or ``load``."""

    def __init__(self, options: ProgramOptions, first: frozenset[str] = FIRST) -> None:
        self._options, self._programs = options, first
        self._begun: Future[None] | None = None
        self._lock = threading.Lock()
        self._first: Object | None = None
        self._of: dict[str, Object] = {}
        self._refused: dict[frozenset[str], LoadError] = {}

    def begin(self) -> None:
        """Has the first part loaded by a thread; ``load`` waits for it then."""
        begun: Future[None] = Future()

        def run() -> None:
            try:
                self._load_first()
            except BaseException as error:  # noqa: BLE001 - told to who waits, whatever it is
                begun.set_exception(error)
            else:
                begun.set_result(None)

        self._begun = begun
        threading.Thread(target=run, name="load", daemon=True).start()

    def load(self) -> None:
        """Returns once the first part is loaded: its programs and all maps.

        Raises:
            LoadError: the kernel refuses.
            EnvironmentProblem: the object cannot be read, or is of another version.
        """
        if self._begun is not None:
            self._begun.result()
        else:
            self._load_first()

    def _load_first(self) -> None:
        first = self._opened()
        try:
            first.load(programs=self._programs, map_sizes=self._options.map_sizes(), constants=self._options.constants())
        except BaseException:
            first.close()
            raise
        with self._lock:
            self._first = first
            self._of = dict.fromkeys(self._programs, first)

    def add(self, programs: frozenset[str]) -> None:
        """Loads those of these programs that are not loaded yet.

        Raises:
            LoadError: the kernel refuses; the parts that there are stay. It is not asked again for what it will always refuse.
            OSError: there is no first part (any more).
        """
        if self._of.keys() >= programs:  # nobody waits for others that are being loaded
            return
        with self._lock:
            lacking, first = programs.difference(self._of), self._there()
            if not lacking:
                return
            if (refused := self._refused.get(lacking)) is not None:
                raise refused.anew()
            self._of |= dict.fromkeys(lacking, self._beside(first, lacking))

    def _beside(self, first: Object, programs: frozenset[str]) -> Object:
        part = self._opened()
        try:
            part.load_beside(programs, first)
        except BaseException as error:
            part.close()
            if isinstance(error, LoadError) and error.lasts:
                self._refused[programs] = error.anew()
            raise
        return part

    def programs(self) -> frozenset[str]:
        """Names of those that are loaded."""
        return frozenset(self._of)

    def program_fd(self, name: str) -> int:
        """File descriptor of a program, owned by its part; OSError when it is not loaded (any more)."""
        return self._part(name).program_fd(name)

    def attach(self, name: str) -> Link:
        """Hooks a program to the tracepoint that its section names; LoadError when the kernel refuses."""
        return self._part(name).attach(name)

    def map_fd(self, name: str) -> int:
        """File descriptor of a map, owned by the first part."""
        return self._there().map_fd(name)

    def close(self) -> None:
        """Lets go of programs and maps; what is attached keeps its own hold. Safe to call twice."""
        if self._begun is not None:
            wait([self._begun])
        with self._lock:
            parts, self._of, self._first = {*self._of.values()}, {}, None
            for part in parts:
                part.close()

    def _opened(self) -> Object:
        return Object(_image(), _NAME, self._options.btf)

    def _there(self) -> Object:
        if self._first is None:
            raise _not_loaded()
        return self._first

    def _part(self, program: str) -> Object:
        part = self._of.get(program)
        if part is None:
            raise _not_loaded()
        return part


@functools.cache
def _image() -> bytes:
    """The object's file, which is read once: an update may put there what goes with another version of this code."""
    try:
        return OBJECT.read_bytes()
    except OSError as error:
        raise EnvironmentProblem(f"{OBJECT.name} cannot be read: {error.strerror}") from error


def _not_loaded() -> OSError:
    return OSError(errno.EBADF, "the eBPF program is not loaded")
