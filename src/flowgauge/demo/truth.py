# SPDX-License-Identifier: Apache-2.0
"""Who had which address, and when: what the scene itself did, independent of anything the collector was told.

The report compares stored names with it. Written by the scene's thread, read after it has stopped.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(slots=True)
class Tenure:
    """An address belonged to a pod, node, service or outside client from ``from_ns`` until ``to_ns`` (0: still).

    ``kind`` is ``Pod``, ``Node``, ``Service`` or ``Subnet``; a subnet's ``name`` is its label. ``node`` and ``zone`` say where
    a pod or node is, ``mac`` is the Ethernet address of a pod's device.
    """

    address: str
    kind: str
    namespace: str
    name: str
    owner: str
    owner_kind: str
    from_ns: int
    to_ns: int = 0
    node: str = ""
    zone: str = ""
    mac: str = ""

    @property
    def workload(self) -> tuple[str, str]:
        """Namespace and owner: what a Service and the pods behind it have in common."""
        return self.namespace, self.owner


@dataclass(frozen=True, slots=True)
class Served:
    """The address of the Service that a pod is behind, empty without one, and whether no other pod ever was."""

    service: str = ""
    alone: bool = False


class TruthLog:
    """All tenures of a scene."""

    def __init__(self) -> None:
        self._by_address: dict[str, list[Tenure]] = {}

    def begin(self, tenure: Tenure) -> Tenure:
        """Somebody has the address from now on."""
        self._by_address.setdefault(tenure.address, []).append(tenure)
        return tenure

    def holder(self, address: str, time_ns: int) -> Tenure | None:
        """Who had the address at that time; None when nobody of the scene had."""
        for tenure in self._by_address.get(address, []):
            if tenure.from_ns <= time_ns and (not tenure.to_ns or time_ns < tenure.to_ns):
                return tenure
        return None

    def tenures(self) -> list[Tenure]:
        """All of them, by address, each address's in the order of time."""
        return [tenure for tenures in self._by_address.values() for tenure in tenures]

    def reused(self) -> list[str]:
        """Addresses that had more than one holder."""
        return [address for address, tenures in self._by_address.items() if len(tenures) > 1]

    def services(self) -> dict[str, Served]:
        """Pod's address → the Service that it is or was behind."""
        found = {}
        for service in (one for one in self.tenures() if one.kind == "Service"):
            behind = [one for one in self.tenures() if one.kind == "Pod" and one.workload == service.workload]
            found.update({pod.address: Served(service.address, alone=len(behind) == 1) for pod in behind})
        return found

    def write(self, path: Path) -> None:
        """Writes every tenure as a line of JSON."""
        path.write_text("".join(json.dumps(asdict(tenure)) + "\n" for tenure in self.tenures()), encoding="utf-8")
