# SPDX-License-Identifier: Apache-2.0
"""What can hold an address: a pod, a node or a Service, in its latest known state."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowgauge.enrich.timeline import Tenure
from flowgauge.k8s.objects import Node, Pod, Service


@dataclass(slots=True, eq=False)
class Holder:
    """An object with addresses.

    Attributes:
        thing: its latest state; that of a deleted object stays as it was.
        generation: changes with ``thing``.
        seen_ms: time of the last event about it.
        tenures: the addresses that it holds now.
        gave_back: a pod that has finished, although its status may go on telling its addresses.
    """

    thing: Pod | Node | Service
    seen_ms: int
    tenures: dict[bytes, Tenure[Holder]] = field(default_factory=dict)
    gave_back: bool = False
    generation: int = 0
