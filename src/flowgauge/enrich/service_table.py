# SPDX-License-Identifier: Apache-2.0
"""Services by number, each with the port at which it was met and the port of the pods behind that. Used by one thread.

Before: ``backends``, which says where Services stand; after: ``gather``, which takes numbers, ``stage``, which takes columns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgauge.enrich.as_of import Ints
from flowgauge.enrich.texts import Texts, used
from flowgauge.flow.names import Names


class ServiceTable:
    """Numbers from 1; 0 is no Service."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, int, int], int] = {}
        self._texts = Texts()
        self._rows = np.zeros((4, 64), np.int32)
        """Of each number: code of the name, the Service's port, the pods' port, whether these two are known and differ."""
        self.number("")

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, name: str, port: int = 0, target: int = 0) -> int:
        """The number of a Service at its ``port``, with pods at ``target``; ports are 0 where they are not known."""
        found = self._numbers.get((name, port, target))
        if found is None:
            found = self._numbers[name, port, target] = len(self._numbers)
            if found == self._rows.shape[1]:
                self._rows = np.concatenate((self._rows, np.zeros_like(self._rows)), axis=1)
            self._rows[:, found] = self._texts[name], port, target, 0 < port != target > 0
        return found

    def columns(self, src: Ints, dst: Ints) -> dict[str, Names]:
        """The names of both ends' Services, from their numbers."""
        numbers, rows = used(len(self), src, dst)
        columns = self._texts.columns(self._rows[0][numbers], *rows)
        return {"src_service": columns[0], "dst_service": columns[1]}

    def ports(self, numbers: Ints) -> tuple[Ints, Ints]:
        """(the Service's port, the pods' port) of each number; 0 where it is not known."""
        return self._rows[1][numbers], self._rows[2][numbers]

    def has_two(self, numbers: Ints) -> npt.NDArray[np.bool_]:
        """Whether both ports of each number are known, and differ."""
        return np.asarray(self._rows[3][numbers] > 0, np.bool_)
