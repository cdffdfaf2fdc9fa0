# SPDX-License-Identifier: Apache-2.0
"""Questions of DNS that nobody answered: found among those that wait, once they have waited long enough."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from flowgauge.ebpf import abi, bpf_syscall
from flowgauge.ebpf.map_reader import Entries, MapReader

UNANSWERED_NS = 5_000_000_000
"""After this long who asks gives up, or asks again (resolv.conf(5)); an answer that comes later is not told."""


class Questions:
    """The maps ``questions`` and ``asked_names``."""

    def __init__(self, questions_fd: int, names_fd: int) -> None:
        self._reader = MapReader(questions_fd, abi.QUESTION_KEY, abi.QUESTION_VALUE)
        self._names_fd = names_fd

    def take_unanswered(self) -> Entries:
        """Takes out what waits for too long: ``abi.ANSWER_KEY``, ``abi.ANSWER_VALUE``, whose flags say that it is no answer."""
        waiting = self._reader.read()
        kind, asked = waiting.keys["kind"], waiting.values["at_ns"].astype(np.int64)
        is_old = time.monotonic_ns() - asked > UNANSWERED_NS
        old = waiting.take((kind == abi.QUESTION_DNS) & is_old)
        maybe_answered = _talked_since(old, waiting.take(kind == abi.QUESTION_TALKS))
        # One by one: an answer may come just now, and then it is the answer that is told.
        taken = np.array([self._reader.remove(old.keys[row : row + 1]) for row in range(len(old))], np.bool_)
        self._forget(waiting.take((kind == abi.QUESTION_TALKS) & is_old))  # what was asked before these is old as well
        left = np.flatnonzero(taken & ~maybe_answered)
        keys, values = np.zeros(len(left), abi.ANSWER_KEY), np.zeros(len(left), abi.ANSWER_VALUE)
        keys["flow"], keys["id"] = old.values["flow"][left], old.keys["id"][left]
        keys["flow"]["epoch"] = 0
        found = [self._read_name(old.keys[row : row + 1], values[at : at + 1]) for at, row in enumerate(left)]
        return Entries(keys[found], values[found])

    def _forget(self, entries: Entries) -> None:
        for row in range(len(entries)):
            self._reader.remove(entries.keys[row : row + 1])

    def _read_name(self, key: abi.Structured, value: abi.Structured) -> bool:
        """Fills ``value``; False when the name was displaced by newer ones."""
        return bpf_syscall.lookup(self._names_fd, key.ctypes.data, value.ctypes.data)


def _talked_since(asked: Entries, talks: Entries) -> npt.NDArray[np.bool_]:
    """Of which questions over TCP the server sent data since: among them may be the answer, behind another one or in pieces."""
    last = {_asker(key): int(at_ns) for key, at_ns in zip(talks.keys, talks.values["at_ns"], strict=True)}
    pairs = zip(asked.keys, asked.values["at_ns"], strict=True)
    return np.fromiter((int(at_ns) <= last.get(_asker(key), -1) for key, at_ns in pairs), np.bool_, len(asked))


def _asker(key: abi.Structured) -> tuple[bytes, int, int]:
    return key["asker"].tobytes(), int(key["port"]), int(key["proto"])
