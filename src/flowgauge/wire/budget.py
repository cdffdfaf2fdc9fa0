# SPDX-License-Identifier: Apache-2.0
"""What all streams together may keep."""

from __future__ import annotations


class Budget:
    """An amount shared by many; who keeps something takes from ``left``, who gives it up adds to it again."""

    __slots__ = ("left",)

    def __init__(self, total: int) -> None:
        self.left = total
