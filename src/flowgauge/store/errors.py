# SPDX-License-Identifier: Apache-2.0
"""How a store fails: not reachable now (try again), full (free space), or refusing what it was given (do not try again)."""

from __future__ import annotations

from flowgauge.errors import EnvironmentProblem, FlowgaugeError, UsageError


class StoreUnavailable(EnvironmentProblem):
    """The store does not answer, or is too busy: the same call may succeed later.

    A write may or may not have happened; repeating it with the same token is safe.
    """


class StoreFull(StoreUnavailable):
    """The store's disk is full and there is nothing left to drop: succeeds only after space was freed."""


class StoreRejected(FlowgaugeError):
    """The store refused this very request: repeating it cannot help. ``code`` is the engine's error code, 0 if unknown."""

    def __init__(self, message: str, *, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class QuestionTooLarge(UsageError):
    """A query needs more time or memory than one may use; the message says what to narrow."""
