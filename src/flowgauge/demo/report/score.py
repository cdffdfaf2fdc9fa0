# SPDX-License-Identifier: Apache-2.0
"""How well a signal agrees with its truth."""

from __future__ import annotations

from dataclasses import dataclass

SHARE_OFF = 0.05


@dataclass(frozen=True, slots=True)
class Score:
    """One signal: what flows say (``measured``), what is so (``truth``), their difference, and whether that is small enough.

    ``allowed`` is the largest difference that is, ``source`` who says what is so, and ``where`` what is measured was found.
    """

    name: str
    measured: float
    truth: float
    error: float
    allowed: float
    held: bool
    source: str = ""
    where: str = "in flows"


def scored(name: str, measured: float, truth: float, allowed: float, *, source: str = "") -> Score:
    """Allows a difference of ``allowed`` or of ``SHARE_OFF`` of the truth, whichever is larger."""
    return judged(name, measured, truth, abs(measured - truth), max(allowed, SHARE_OFF * truth), source=source)


def judged(
    name: str, measured: float, truth: float, error: float, allowed: float, *, source: str = "", where: str = "in flows"
) -> Score:
    """A score whose ``error`` is more than the difference of two numbers."""
    return Score(name, round(measured, 3), round(truth, 3), round(error, 3), round(allowed, 3), error <= allowed, source, where)
