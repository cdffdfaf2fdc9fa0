# SPDX-License-Identifier: Apache-2.0
"""What a decoder should know after a restart: templates, sampling rates and start times of all exporters, as JSON.

Whoever runs the decoder keeps the bytes somewhere. What comes back from them is provisional until it is announced again: a
device may have changed meanwhile, and a template whose records do not fit is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from flowgauge.flow.addresses import packed, to_text
from flowgauge.wire.framing import NOT_TOLD
from flowgauge.wire.layout import Field, Layout, Layouts
from flowgauge.wire.sampling import MAX_RATE, MAX_RATES, Rates
from flowgauge.wire.streams import MAX_STREAMS, Stream, Streams
from flowgauge.wire.template_records import MAX_FIELDS

_Saved = TypeVar("_Saved")

FORMAT = 1
"""Goes up when an older decoder would misread what a newer one writes."""


class StateError(ValueError):
    """Bytes that are not a state, or one of a later format."""


class SavedLayout(msgspec.Struct, frozen=True, array_like=True):
    """A layout: fields as (enterprise, number, length)."""

    is_options: bool
    scope_count: int
    fields: tuple[tuple[int, int, int], ...]


class SavedRates(msgspec.Struct, frozen=True):
    """Sampling rates: by selector, by interface and direction, by template, of the system."""

    selectors: list[tuple[int, int]] = []
    interfaces: list[tuple[int, int, int]] = []
    templates: list[tuple[int, int]] = []
    system: int = 0


class SavedStream(msgspec.Struct, frozen=True):
    """A stream: templates as (id, index of the layout, when it was announced)."""

    protocol: int
    address: str
    domain: int
    port: int
    boot_ms: int
    templates: list[tuple[int, int, int]]
    rates: SavedRates = SavedRates()


class SavedState(msgspec.Struct, frozen=True):
    """Everything; layouts once, however many exporters announce them.

    Attributes:
        streams: each a ``SavedStream`` as its text: as objects, those of a million templates take as much as what they become.
    """

    format: int
    layouts: list[SavedLayout]
    streams: list[msgspec.Raw]


def saved(protocols: Mapping[int, Iterable[Stream]]) -> bytes:
    """The state of all streams, by protocol version."""
    layouts: dict[Layout, int] = {}
    # Each as its text at once: of a million templates the numbers as objects take six times as much.
    streams = [
        msgspec.Raw(msgspec.json.encode(_saved_stream(protocol, stream, layouts)))
        for protocol, each in protocols.items()
        for stream in each
        if len(stream.templates) or stream.rates
    ]
    return msgspec.json.encode({"format": FORMAT, "layouts": [_saved_layout(layout) for layout in layouts], "streams": streams})


def _saved_stream(protocol: int, stream: Stream, layouts: dict[Layout, int]) -> SavedStream:
    """One stream; layouts that it has first are added, with the next index."""
    return SavedStream(
        protocol=protocol,
        address=to_text(stream.exporter_addr),
        domain=stream.domain,
        port=stream.port,
        boot_ms=stream.boot_ms,
        templates=[
            (held.template.template_id, layouts.setdefault(held.template.layout, len(layouts)), held.announced_ns)
            for held in stream.templates
        ],
        rates=_saved_rates(stream.rates),
    )


def _saved_rates(rates: Rates) -> SavedRates:
    interfaces = [(index, direction, rate) for (index, direction), rate in rates.interfaces.items()]
    return SavedRates(list(rates.selectors.items()), interfaces, list(rates.templates.items()), rates.system)


def _saved_layout(layout: Layout) -> SavedLayout:
    fields = tuple((field.enterprise, field.number, field.length) for field in layout.fields)
    return SavedLayout(layout.is_options, layout.scope_count, fields)


def restore(content: bytes, protocols: Mapping[int, Streams], layouts: Layouts, now_ns: int,
            wanted: Callable[[bytes], bool]) -> int:  # fmt: skip
    """Takes over the state of exporters whose addresses are ``wanted``; how many templates. What makes no sense is left out.

    Raises:
        StateError: it is none, or of a later format.
    """
    state = _read(content, SavedState)
    if state.format > FORMAT:
        raise StateError(f"a decoder's state of format {state.format}, this one reads up to {FORMAT}")
    told = state.streams[:MAX_STREAMS]
    for text in told:
        _read(text, SavedStream)  # all or nothing
    known = [_layout(each, layouts) for each in state.layouts]
    count, ids = 0, dict[int, int]()
    for each in (_read(text, SavedStream) for text in told):
        addr = _address(each.address)
        if (
            addr is None
            or not wanted(addr)
            or each.protocol not in protocols
            or not (0 <= each.domain < 1 << 32 and 0 <= each.port < 1 << 16)
        ):
            continue
        streams = protocols[each.protocol]
        count += _restore_stream(each, streams.get(addr, each.domain, each.port, now_ns), known, ids)
        streams.trim()
    return count


def _read(content: bytes | msgspec.Raw, kind: type[_Saved]) -> _Saved:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise StateError(f"not a decoder's state: {error}") from error


def _restore_stream(each: SavedStream, stream: Stream, layouts: list[Layout | None], ids: dict[int, int]) -> int:
    """Takes over one stream; how many templates. ``ids`` holds each template id as one object, whoever has it."""
    if stream.boot_ms == NOT_TOLD:
        stream.boot_ms = each.boot_ms
    stream.exporter_rates.take_over(stream.rates, _rates(each.rates))
    count, times = 0, dict[int, int]()
    for template_id, index, announced_ns in each.templates:
        layout = layouts[index] if 0 <= index < len(layouts) else None
        if layout is not None and 256 <= template_id < 1 << 16 and stream.templates.get(template_id) is None:
            number, when_ns = ids.setdefault(template_id, template_id), times.setdefault(announced_ns, announced_ns)
            stream.templates.take_over(number, layout, announced_ns=when_ns, provisional=True)
            count += 1
    return count


def _rates(each: SavedRates) -> Rates:
    """Those that make sense."""
    return Rates(
        selectors={number: rate for number, rate in each.selectors[:MAX_RATES] if number >= 0 and _sane(rate)},
        interfaces={(index, direction): rate for index, direction, rate in each.interfaces[:MAX_RATES] if _sane(rate)},
        templates={number: rate for number, rate in each.templates[:MAX_RATES] if number >= 0 and _sane(rate)},
        system=each.system if _sane(each.system) else 0,
    )


def _sane(rate: int) -> bool:
    return 0 < rate <= MAX_RATE


def _layout(each: SavedLayout, layouts: Layouts) -> Layout | None:
    """The layout, None for one that no template could have."""
    fields = tuple(Field(*numbers) for numbers in each.fields)
    sane = all(0 <= field.number < 1 << 16 and 0 <= field.length < 1 << 16 for field in fields)
    if not sane or not 0 < len(fields) <= MAX_FIELDS or not any(field.length for field in fields):
        return None
    return layouts.get(fields, min(max(each.scope_count, 0), len(fields)), is_options=each.is_options)


def _address(text: str) -> bytes | None:
    try:
        return packed(text)
    except ValueError:
        return None
