# SPDX-License-Identifier: Apache-2.0
"""Dictionary-encoded strings: one int32 code a row and the distinct values once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int32]


class Names:
    """A column of strings: ``values[codes[i]]`` is the text of row i. Code 0 is always the empty string (absent).

    Args:
        codes: int32, shape (n,), each within ``values``.
        values: distinct strings; ``values[0] == ""``.
    """

    __slots__ = ("codes", "values")

    def __init__(self, codes: Codes, values: Sequence[str]) -> None:
        self.codes = codes
        self.values = tuple(values)

    @classmethod
    def constant(cls, text: str, length: int) -> Names:
        """The same ``text`` in every row."""
        if not text:
            return cls(np.zeros(length, np.int32), ("",))
        return cls(np.ones(length, np.int32), ("", text))

    @classmethod
    def from_strings(cls, texts: Iterable[str]) -> Names:
        """Encodes one string a row; for tests and small edges, not for the hot path."""
        index: dict[str, int] = {"": 0}
        codes = np.fromiter((index.setdefault(text, len(index)) for text in texts), np.int32)
        return cls(codes, tuple(index))

    @classmethod
    def concat(cls, parts: Sequence[Names]) -> Names:
        """Joins columns, merging their dictionaries; cost is the rows plus the distinct values."""
        index: dict[str, int] = {"": 0}
        codes = [np.fromiter((index.setdefault(v, len(index)) for v in part.values), np.int32)[part.codes] for part in parts]
        return cls(np.concatenate(codes) if codes else np.zeros(0, np.int32), tuple(index))

    def __len__(self) -> int:
        return len(self.codes)

    def __repr__(self) -> str:
        return f"Names({len(self.codes)} rows, {len(self.values)} values)"

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Names:
        """The rows chosen by index or mask; the dictionary is shared, not shrunk."""
        return Names(self.codes[rows], self.values)

    def to_list(self) -> list[str]:
        """One string a row; for edges."""
        return [self.values[code] for code in self.codes.tolist()]
