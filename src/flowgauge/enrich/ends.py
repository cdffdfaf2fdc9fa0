# SPDX-License-Identifier: Apache-2.0
"""Who and what Service each end of the flows is: the rules, on arrays.

* A destination that was translated is what it was translated to, if that is known: the pod behind a ClusterIP.
* A source is what sent it, whatever its address became on the way.
* A Service belongs to the end that was reached through it, or answers for it: the destination of a request, the source of a
  reply. It is the one at the address and port that the *client* sees: the destination before translation, the source after
  it. Else it is the one that lists the backend at this port. A pod that is reached at a port of no Service has none, and
  neither has a client, whose port is none either.

Before: ``gather``; after: ``stage``. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowgauge.enrich.as_of import Bytes, Found, Ints, Times
from flowgauge.enrich.gather import Gathered
from flowgauge.schema.enums import IDENTITY_SOURCE, code

_WATCH, _NAT = code(IDENTITY_SOURCE, "watch"), code(IDENTITY_SOURCE, "nat")


@dataclass(frozen=True, slots=True)
class Seen:
    """One end of each flow as an address and port; ``key`` -1 where there is none (not translated)."""

    key: Ints
    port: Ints
    """Port key: protocol and port in one number."""


@dataclass(frozen=True, slots=True)
class End:
    """What is known of one end: numbers of identities and Services, 0 for none; codes of ``enums``."""

    identity: Ints
    service: Ints
    source: Bytes
    confidence: Bytes


def destination(gathered: Gathered, own: Seen, translated: Seen, start_ms: Times, end_ms: Times) -> End:
    """The destination's end."""
    here = gathered.who(own.key, start_ms, end_ms)
    behind = gathered.who(translated.key, start_ms, end_ms)
    service = gathered.service(own.key, own.port, here.value, start_ms, end_ms)
    listed = gathered.service(translated.key, translated.port, behind.value, start_ms, end_ms)
    through = behind.value > 0
    return End(
        identity=np.where(through, behind.value, here.value),
        service=_first_of(service, gathered.own_service(here.value), listed),
        source=np.where(through, _NAT, _watched(here)).astype(np.uint8),
        confidence=np.where(through, behind.confidence, here.confidence),
    )


def source(gathered: Gathered, own: Seen, translated: Seen, start_ms: Times, end_ms: Times) -> End:
    """The source's end."""
    here = gathered.who(own.key, start_ms, end_ms)
    shown = gathered.who(translated.key, start_ms, end_ms)
    service = gathered.service(translated.key, translated.port, shown.value, start_ms, end_ms)
    listed = gathered.service(own.key, own.port, here.value, start_ms, end_ms)
    virtual = gathered.own_service(shown.value)
    return End(
        identity=here.value,
        service=_first_of(service, virtual, listed, gathered.own_service(here.value)),
        source=_watched(here),
        confidence=here.confidence,
    )


def _watched(who: Found) -> Bytes:
    return np.where(who.value > 0, _WATCH, 0).astype(np.uint8)


def _first_of(*choices: Ints) -> Ints:
    """The first choice of each row that is not 0."""
    found = choices[0]
    for other in choices[1:]:
        found = np.where(found > 0, found, other)
    return found.astype(np.int32)
