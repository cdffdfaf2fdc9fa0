# SPDX-License-Identifier: Apache-2.0
"""The contract of a part: an inert constructor, then ``start``, then ``stop``.

A constructor takes settings and collaborators and does nothing else: no thread, file or socket. ``start`` may raise
:class:`flowgauge.errors.EnvironmentProblem`. ``stop`` drains what was accepted, is safe to call twice and never raises.
Wiring is done by hand, top to bottom, in the ``main.py`` of a part.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Component(Protocol):
    """Something that runs between ``start`` and ``stop``."""

    def start(self) -> None:
        """Begins work; returns when it is under way."""

    def stop(self) -> None:
        """Ends work, draining what was accepted within a bound."""

    def ready(self) -> bool:
        """True while the part does its work."""
