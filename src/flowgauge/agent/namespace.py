# SPDX-License-Identifier: Apache-2.0
"""The network namespace that an agent observes: by its name once, then by what was found there, whatever becomes of the name.

An agent keeps the namespace alive as long as it observes it, with all its devices, also when `ip netns del` took the name
away. Another one that gets the name then is another node: the agent has to end, and one that is started finds that.
"""

from __future__ import annotations

import os
import weakref

from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime.linux import netns_path


class Namespace:
    """The namespace that ``name`` (below /run/netns, or a path; empty: the process's own) led to when this was made.

    Attributes:
        path: leads there while this object is open; the name itself when it led nowhere, so that who enters is told so.
    """

    def __init__(self, name: str) -> None:
        self.name = self.path = name
        self._held: int | None = None
        if name and (held := _opened(name)) is not None:
            self._held, self.path = held, f"/proc/self/fd/{held}"
            self._close = weakref.finalize(self, os.close, held)

    def require(self) -> None:
        """Returns while the name leads to it.

        Raises:
            EnvironmentProblem: it leads elsewhere, or nowhere any more.
        """
        if self._held is None:
            return
        try:
            now = netns_path(self.name).stat()
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            raise _ended(self.name, "is gone") from None
        except OSError:  # it cannot be seen from here just now, which says nothing about what it is
            return
        if not os.path.samestat(now, os.fstat(self._held)):
            raise _ended(self.name, "is another one now")

    def close(self) -> None:
        """Lets go of it; safe to call twice."""
        if self._held is not None:
            self._close()
            self._held, self.path = None, self.name


def _opened(name: str) -> int | None:
    try:
        return os.open(netns_path(name), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _ended(name: str, what: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"the network namespace {name} {what}; what was counted in the one that was observed is sent, and the agent ends"
    )
