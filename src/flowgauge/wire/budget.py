# SPDX-License-Identifier: Apache-2.0
"""What many together may keep, and what each of them may keep of it."""

from __future__ import annotations


class Budget:
    """An amount shared by many; who keeps something takes it, who gives it up gives it back.

    Args:
        total: how much there is; more may be taken (``left`` falls below 0), which is for the caller to make good.
        above: the budget of which this one is a share; what is taken here is taken there too.
    """

    __slots__ = ("_above", "left")

    def __init__(self, total: int, above: Budget | None = None) -> None:
        self.left, self._above = total, above

    @property
    def room(self) -> int:
        """How much may be taken without exceeding this budget or the one above."""
        return self.left if self._above is None else min(self.left, self._above.room)

    def take(self, amount: int) -> None:
        """Takes ``amount``; a negative one gives back."""
        self.left -= amount
        if self._above is not None:
            self._above.take(amount)
