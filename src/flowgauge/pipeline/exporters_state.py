# SPDX-License-Identifier: Apache-2.0
"""What is known of exporters, as JSON: names and sampling outlive a restart, since exporters tell them seldom.

Whoever runs the directory keeps the bytes somewhere. Names that come back hold until they are told anew; those of an exporter
not heard for ``KEPT_NS`` do not come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from flowgauge.flow.addresses import packed, to_text
from flowgauge.pipeline.exporter import Exporter, Named
from flowgauge.pipeline.options import text
from flowgauge.wire.decoder_state import StateError
from flowgauge.wire.sampling import MAX_RATE

FORMAT = 1
"""Goes up when an older collector would misread what a newer one writes."""
KEPT_NS = 30 * 86_400_000_000_000
"""Thirty days: after that interfaces may have got other numbers."""


class SavedExporter(msgspec.Struct, frozen=True, omit_defaults=True):
    """One exporter; names as (number, name)."""

    address: str
    domain: int
    seen_ns: int
    name: str = ""
    sampling: int = 0
    interfaces: list[tuple[int, str]] = []
    applications: list[tuple[int, str]] = []
    vrfs: list[tuple[int, str]] = []


class SavedExporters(msgspec.Struct, frozen=True):
    """All of them."""

    format: int
    exporters: list[SavedExporter]


@dataclass(frozen=True, slots=True)
class Remembered:
    """One exporter as it comes back."""

    addr: bytes
    domain: int
    seen_ns: int
    name: str
    sampling: int
    names: list[tuple[Named, int, str]]


def saved(exporters: Iterable[Exporter]) -> bytes:
    """The state of all exporters that told anything."""
    told = (one for one in exporters if one.name or one.sampling or one.interfaces or one.vrfs or one.applications)
    return msgspec.json.encode(SavedExporters(FORMAT, [_saved(one) for one in told]))


def _saved(one: Exporter) -> SavedExporter:
    return SavedExporter(
        to_text(one.addr), one.domain, one.seen_ns, one.name, one.sampling, list(one.interfaces.items()),
        list(one.applications.items()), list(one.vrfs.items()),
    )  # fmt: skip


def read(content: bytes, now_ns: int) -> Iterator[Remembered]:
    """What was saved; what does not make sense in it is left out.

    Raises:
        StateError: it is none, or of a later format.
    """
    try:
        state = msgspec.json.decode(content, type=SavedExporters)
    except msgspec.MsgspecError as error:
        raise StateError(f"not a state of exporters: {error}") from error
    if state.format > FORMAT:
        raise StateError(f"a state of exporters of format {state.format}, this collector reads up to {FORMAT}")
    return (one for each in state.exporters if (one := _remembered(each)) is not None and now_ns - one.seen_ns <= KEPT_NS)


def _remembered(each: SavedExporter) -> Remembered | None:
    try:
        addr = packed(each.address)
    except ValueError:
        return None
    if not 0 <= each.domain < 1 << 32:
        return None
    told: tuple[tuple[Named, list[tuple[int, str]]], ...] = (
        ("interface", each.interfaces), ("vrf", each.vrfs), ("application", each.applications),
    )  # fmt: skip
    names = [(what, number, name) for what, pairs in told for number, given in pairs if number > 0 and (name := text(given))]
    sampling = each.sampling if 0 <= each.sampling <= MAX_RATE else 0
    return Remembered(addr, each.domain, each.seen_ns, text(each.name), sampling, names)
