# SPDX-License-Identifier: Apache-2.0
"""Loads a compiled eBPF object through libbpf, the system's shared library.

An :class:`Object` is opened (needs no privilege), told which programs, map sizes and settings it shall have, and loaded.
libbpf's messages, the verifier's log included, become part of the exception: what failed is done again for them, since libbpf
has 2,600 for one load, each of which would have to wait for the interpreter while others start.
"""

from __future__ import annotations

import ctypes as c
import errno
import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import signals

LIBRARY = "libbpf.so.1"
_LOG_TAIL_LINES = 30
"""The verifier explains at the end; the thousands of lines before are the program."""
_DEBUG_LEVEL = 2
_MESSAGE_BYTES = 1 << 16

_PrintFunction = c.CFUNCTYPE(c.c_int, c.c_int, c.c_char_p, c.c_void_p)
_SILENCE = _PrintFunction()


_OF_THE_KERNEL = frozenset({errno.EINVAL, errno.EACCES, errno.ENOENT, errno.ESRCH, errno.EOPNOTSUPP, errno.ENOTSUP})
"""What a kernel answers that lacks a tracepoint, an argument of it, or a helper, or whose verifier does not see the point."""


class LoadError(OSError):
    """The kernel or libbpf refused an object; ``log`` says why, its last lines only."""

    def __init__(self, number: int, what: str, log: str) -> None:
        super().__init__(number, f"{what}: {os.strerror(number)}")
        self._number, self._what, self.log = number, what, log

    def anew(self) -> LoadError:
        """The same, which nobody raised yet: one that was keeps in memory what its callers had."""
        return LoadError(self._number, self._what, self.log)

    @property
    def lasts(self) -> bool:
        """Whether this kernel says the same each time, in contrast to one without memory or descriptors just now."""
        return self._number in _OF_THE_KERNEL


class _OpenOptions(c.Structure):
    """struct bpf_object_open_opts, the beginning; libbpf reads as much as ``size`` says."""

    _fields_ = (
        ("size", c.c_size_t),
        ("object_name", c.c_char_p),
        ("relaxed_maps", c.c_bool),
        ("pin_root_path", c.c_char_p),
        ("removed", c.c_uint32),
        ("kconfig", c.c_char_p),
        ("btf_custom_path", c.c_char_p),
    )


class _Log:
    """Takes libbpf's messages, which are global to the process; ``lock`` is held by whoever calls what has some."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._lines: list[str] = []
        self._libc = c.CDLL(None)
        self._function = _PrintFunction(self._take)

    def _take(self, level: int, text: bytes, arguments: int) -> int:
        if level < _DEBUG_LEVEL:
            buffer = c.create_string_buffer(_MESSAGE_BYTES)
            self._libc.vsnprintf(buffer, c.c_size_t(len(buffer)), c.c_char_p(text), c.c_void_p(arguments))
            self._lines += buffer.value.decode(errors="replace").splitlines()
        return 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the messages meanwhile; those of before are forgotten."""
        self._lines.clear()
        library().libbpf_set_print(self._function)
        try:
            yield
        finally:
            library().libbpf_set_print(_SILENCE)

    def tail(self) -> str:
        """The last lines, and how many were left out."""
        omitted = max(0, len(self._lines) - _LOG_TAIL_LINES)
        head = [f"({omitted} lines omitted)"] if omitted else []
        return "\n".join(head + self._lines[-_LOG_TAIL_LINES:])


_log = _Log()

_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "libbpf_set_print": (c.c_void_p, [_PrintFunction]),
    "libbpf_num_possible_cpus": (c.c_int, []),
    "bpf_object__open_mem": (c.c_void_p, [c.c_char_p, c.c_size_t, c.POINTER(_OpenOptions)]),
    "bpf_object__load": (c.c_int, [c.c_void_p]),
    "bpf_object__close": (None, [c.c_void_p]),
    "bpf_object__next_map": (c.c_void_p, [c.c_void_p, c.c_void_p]),
    "bpf_object__next_program": (c.c_void_p, [c.c_void_p, c.c_void_p]),
    "bpf_object__find_program_by_name": (c.c_void_p, [c.c_void_p, c.c_char_p]),
    "bpf_object__find_map_by_name": (c.c_void_p, [c.c_void_p, c.c_char_p]),
    "bpf_program__name": (c.c_char_p, [c.c_void_p]),
    "bpf_program__fd": (c.c_int, [c.c_void_p]),
    "bpf_program__set_autoload": (c.c_int, [c.c_void_p, c.c_bool]),
    "bpf_program__attach": (c.c_void_p, [c.c_void_p]),
    "bpf_link__destroy": (c.c_int, [c.c_void_p]),
    "bpf_map__fd": (c.c_int, [c.c_void_p]),
    "bpf_map__reuse_fd": (c.c_int, [c.c_void_p, c.c_int]),
    "bpf_map__set_max_entries": (c.c_int, [c.c_void_p, c.c_uint32]),
    "bpf_map__set_initial_value": (c.c_int, [c.c_void_p, c.c_char_p, c.c_size_t]),
}


def version() -> str:
    """Of the shared library, as ``1.1``; EnvironmentProblem when it is not installed."""
    loaded = library()
    return f"{loaded.libbpf_major_version()}.{loaded.libbpf_minor_version()}"


@functools.cache
def library() -> c.CDLL:
    """The shared library with its functions typed; EnvironmentProblem when it is not installed."""
    try:
        loaded = c.CDLL(LIBRARY, use_errno=True)
    except OSError as error:
        raise EnvironmentProblem(f"{LIBRARY} is not installed (Debian: apt-get install libbpf1)") from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    loaded.libbpf_set_print(_SILENCE)
    return loaded


def possible_cpus() -> int:
    """How many CPUs this machine may have: the length of a per-CPU map's value."""
    return int(library().libbpf_num_possible_cpus())


class Link:
    """A program at a tracepoint."""

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle

    def detach(self) -> None:
        """Takes the program away from its tracepoint; safe to call twice."""
        handle, self._handle = self._handle, None
        if handle:
            library().bpf_link__destroy(handle)


class Object:
    """One compiled object; not safe for several threads until it is loaded. One that cannot be loaded is closed.

    Args:
        image: the ELF file.
        name: the kernel's names of the object's maps start with it.
        btf: a file with the types that the kernel is taken to have; None: those that it says it has.
    """

    def __init__(self, image: bytes, name: str, btf: Path | None = None) -> None:
        self._library, self._image = library(), image
        self._options = _OpenOptions(size=c.sizeof(_OpenOptions), object_name=name.encode())
        if btf is not None:
            self._options.btf_custom_path = str(btf).encode()
        with _log.lock:
            self._handle = self._opened()
            if not self._handle:
                with _log.listening():
                    self._handle = self._opened()
            if not self._handle:
                raise LoadError(c.get_errno(), "read the eBPF object", _log.tail())

    def _opened(self) -> int | None:
        handle: int | None = self._library.bpf_object__open_mem(self._image, len(self._image), c.byref(self._options))
        return handle

    def load(self, programs: AbstractSet[str], *, map_sizes: Mapping[str, int], constants: Mapping[str, bytes]) -> None:
        """Loads some programs and all maps.

        Args:
            programs: their names.
            map_sizes: entries of a map, by its name.
            constants: the whole content of a section with variables of our own, by its name (``.rodata.settings``).

        Raises:
            LoadError: with libbpf's and the verifier's last lines.
        """

        def tell() -> None:
            for name, entries in map_sizes.items():
                self._check(self._library.bpf_map__set_max_entries(self._map(name), entries), f"size of map {name}")
            for name, content in constants.items():
                result = self._library.bpf_map__set_initial_value(self._map(name), content, len(content))
                self._check(result, f"constants {name}")

        self._load(programs, tell)

    def load_beside(self, programs: AbstractSet[str], other: Object) -> None:
        """Loads some programs with the maps of ``other``, the same object loaded before, and so with its constants.

        Raises:
            LoadError: with libbpf's and the verifier's last lines.
        """

        def tell() -> None:
            for ours, theirs in zip(self._maps(), other._maps(), strict=True):
                self._check(self._library.bpf_map__reuse_fd(ours, self._library.bpf_map__fd(theirs)), "share maps")

        self._load(programs, tell)

    def _load(self, programs: AbstractSet[str], tell: Callable[[], None]) -> None:
        """Loads; ``tell`` says what shall become of the maps."""
        with _log.lock:
            result = self._attempt(programs, tell)
            if result < 0:
                self.close()
                with _log.listening():
                    self._handle = self._opened()
                    result = self._attempt(programs, tell)
            if result < 0:
                self.close()
            self._check(result, "load eBPF programs")

    def _attempt(self, programs: AbstractSet[str], tell: Callable[[], None]) -> int:
        program = self._library.bpf_object__next_program(self._handle, None)
        while program:
            wanted = self._library.bpf_program__name(program).decode() in programs
            self._library.bpf_program__set_autoload(program, wanted)
            program = self._library.bpf_object__next_program(self._handle, program)
        tell()
        with signals.held_back():  # the verifier gives up when one waits; libbpf tries again four times
            return int(self._library.bpf_object__load(self._handle))

    def _maps(self) -> Iterator[int]:
        """Handles of all maps, in the order of the file."""
        one = self._library.bpf_object__next_map(self._handle, None)
        while one:
            yield one
            one = self._library.bpf_object__next_map(self._handle, one)

    def program_fd(self, name: str) -> int:
        """File descriptor of a loaded program; owned by the object."""
        return int(self._library.bpf_program__fd(self._program(name)))

    def attach(self, name: str) -> Link:
        """Hooks a loaded program to the tracepoint that its section names; LoadError when the kernel refuses."""
        program = self._program(name)
        with _log.lock:
            handle = self._library.bpf_program__attach(program)
            if not handle:
                with _log.listening():
                    handle = self._library.bpf_program__attach(program)
            if not handle:
                raise LoadError(c.get_errno(), f"attach {name}", _log.tail())
        return Link(handle)

    def map_fd(self, name: str) -> int:
        """File descriptor of a map; owned by the object."""
        return int(self._library.bpf_map__fd(self._map(name)))

    def close(self) -> None:
        """Lets go of programs and maps; what is attached keeps its own hold. Safe to call twice."""
        handle, self._handle = self._handle, None
        if handle:
            self._library.bpf_object__close(handle)

    def _program(self, name: str) -> int:
        found: int | None = self._library.bpf_object__find_program_by_name(self._handle, name.encode())
        return found or self._lacks(name)

    def _map(self, name: str) -> int:
        found: int | None = self._library.bpf_object__find_map_by_name(self._handle, name.encode())
        return found or self._lacks(name)

    @staticmethod
    def _lacks(name: str) -> NoReturn:
        raise EnvironmentProblem(f"the eBPF object is of another version, it has no {name}: run `make bpf` (needs clang)")

    @staticmethod
    def _check(result: int, what: str) -> None:
        if result < 0:
            raise LoadError(-result, what, _log.tail())
