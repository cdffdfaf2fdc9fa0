# SPDX-License-Identifier: Apache-2.0
"""Which elements fill which column: derived from the column registry, with the few cases that it cannot say.

``compile_reader`` turns the fields of a template into steps once; after that no decision is made per record or per datagram.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flowgauge.schema import enums
from flowgauge.schema.column import Column, Kind
from flowgauge.schema.columns import BY_NAME, COLUMNS
from flowgauge.schema.vendors import JUNIPER
from flowgauge.wire import biflow
from flowgauge.wire.connections import ConnectionFields, connection_fields
from flowgauge.wire.elements import IANA, Elements
from flowgauge.wire.icmp import IcmpElements, IcmpFromPort, IcmpUnknown
from flowgauge.wire.readers import (
    AddressV4,
    ApplicationId,
    Bytes,
    Code,
    CodeIfSet,
    CodePoint,
    FirstSet,
    ForwardingException,
    Number,
    OrElse,
    Source,
    Sources,
    Step,
    TwelveBits,
    Words,
)
from flowgauge.wire.sampling_steps import FLOAT_BYTES, SWAPPED_BYTES, Interval, Probability, Ratio
from flowgauge.wire.sections import packet_section
from flowgauge.wire.texts import MplsLabels, Strings, TextStep
from flowgauge.wire.times import FlowTimes, flow_times

FieldNumbers = tuple[int, int, int]
"""A field of a template: enterprise, element, length."""
_BY_RULE = frozenset({
    "time_start_ns", "time_end_ns", "icmp_type", "icmp_code", "sampling_rate", "mpls_labels",
    "obs_domain_id", "template_id", "in_if_name", "node_reporter",
})  # fmt: skip
"""Columns with a rule of their own below, or that come from the message or from options rather than from records."""

_OF_TWELVE_BITS = frozenset({"tcp_flags", "vlan_id", "dot1q_customer_vlan_id"})

_ALSO: Mapping[str, tuple[int, ...]] = {
    "bytes": (85, 352, 353, 23, 231, 171),
    "packets": (86, 24, 298, 172),
    "in_if": (252,),
    "out_if": (253,),
    "vlan_id": (243, 59, 254),
    "dot1q_customer_vlan_id": (255,),
    "src_mac": (81,),
    "dst_mac": (57,),
    "ip_tos": (55,),
}
"""IANA elements that stand in where the column's own is missing, the preferred first: delta, total, then what it was behind
the observation point (post…): never beside the column's own, which is what the packets had when they were seen."""

_PARTS: Mapping[str, tuple[int, ...]] = {
    "src_port": (180, 182),
    "dst_port": (181, 183),
    "src_addr": (170, 44),
    "dst_addr": (169, 45),
}
"""IANA elements of which the one that is not zero stands in: ports of UDP and TCP, prefixes where records are of networks."""
_INSTEAD: Mapping[str, int] = {"bytes": 23, "packets": 24, "in_if": 252, "out_if": 253, "vlan_id": 243}
"""IANA elements for records in which the column's own is zero: counters behind the observation point, physical
interfaces, the VLAN of the tag (243) where that of the interface (58) is not told."""
_CPID, _CPID_BYTES = (JUNIPER, 137), 2
_CODE_POINT = 195

_SHIFTS: Mapping[str, int] = {"flow_direction": 1}
"""Code of an enumerated column less its value on the wire: flowDirection is 0 ingress, 1 egress, from our agent 2 inner."""
_PACKET = enums.code(enums.SAMPLING_ALGORITHM, "packet")
_FIXED_BYTES: Mapping[Kind, int] = {Kind.ADDR: 16, Kind.MAC: 6, Kind.U32X4: 16}
_COUNTERS = frozenset({"bytes", "packets"})
_MPLS_STACK = range(70, 80)


@dataclass(frozen=True, slots=True)
class Sampler:
    """The fields that name a sampler or selector, interfaces, and the direction."""

    selector: Source | None = None
    in_if: Source | None = None
    out_if: Source | None = None
    direction: Source | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """What a data template compiles to.

    Attributes:
        steps: fill ``columns``.
        columns: the array columns that the records have.
        texts: (column, step) of the columns of strings.
        ours: an element under our own enterprise number is among the fields: an agent of ours sent it.
        counts: the records count bytes or packets; others are events.
        exporter: reads the address that the records give for their exporter (130, 131), if they do.
        reverse: reads the other direction of bidirectional records.
        sampler: what tells which rate holds where records do not carry one.
        connection: what records of connection events say of them.
        reverse_counters: what that direction counts; a record in which all are zero has none.
    """

    steps: tuple[Step, ...]
    columns: tuple[str, ...]
    texts: tuple[tuple[str, TextStep], ...]
    ours: bool
    counts: bool
    exporter: Step | None = None
    reverse: Reader | None = None
    reverse_counters: tuple[Source, ...] = ()
    sampler: Sampler = Sampler()
    connection: ConnectionFields | None = None


def compile_reader(fields: Sequence[FieldNumbers], elements: Elements) -> Reader:
    """Compiles the fields of a data template; what has no column is skipped over, and so are fields of length 0: not there."""
    sources: dict[tuple[int, int], list[Source]] = {}
    for index, (enterprise, number, length) in enumerate(fields):
        if length:
            sources.setdefault((enterprise, number), []).append(Source(index, length))
    found = _compiled(sources, elements)
    backwards = biflow.backwards(sources)
    if backwards is None:
        return found
    onwards = _compiled(biflow.onwards(sources), elements)
    return replace(found, reverse=_reversed(onwards, _compiled(backwards, elements), backwards, sources),
                   reverse_counters=biflow.counters(backwards))  # fmt: skip


def _compiled(sources: Sources, elements: Elements) -> Reader:
    iana = {number: found[0] for (enterprise, number), found in sources.items() if enterprise == IANA}
    ours = any(enterprise == elements.pen for enterprise, _ in sources)
    steps: dict[str, Step] = {}
    texts: list[tuple[str, TextStep]] = []
    named = _named(sources, elements)
    for column in dict.fromkeys((*_candidates(sources), *named)):
        found = _sources_of(column, sources, elements.pen) or tuple(named.get(column, ()))
        if found and column.kind in (Kind.NAMES, Kind.LIST):
            texts.append((column.name, Strings(found[0])))
        elif step := _step(column, found):
            steps[column.name] = step
    steps |= _instead(steps, iana) | _sampling(iana, ours=ours) | _icmp(iana, ours=ours)
    if told := tuple(source for source in sources.get(_CPID, ()) if source.length == _CPID_BYTES):
        steps.setdefault("forwarding_status", ForwardingException("forwarding_status", told))
    if stack := [iana[number] for number in _MPLS_STACK if number in iana]:
        texts.append(("mpls_labels", MplsLabels(tuple(stack))))
    if (section := packet_section(sources, frozenset(steps))) is not None:
        steps |= dict.fromkeys(section.columns, section)
    if _CODE_POINT in iana:
        steps.setdefault("ip_tos", CodePoint("ip_tos", iana[_CODE_POINT]))
    exporter = steps.pop("exporter_addr", None)
    return Reader(
        steps=(*dict.fromkeys(steps.values()), *biflow.of_client(sources, steps), flow_times(iana)),
        columns=(*steps, "time_start_ns", "time_end_ns"),
        texts=tuple(texts),
        ours=ours,
        counts=bool(_COUNTERS & steps.keys()),
        exporter=exporter,
        connection=connection_fields(sources),
        sampler=Sampler(iana.get(48) or iana.get(302), iana.get(10), iana.get(14), iana.get(61)),
    )


def _reversed(onwards: Reader, backwards: Reader, own: Sources, every: Sources) -> Reader:
    """The reader of the other direction: what identifies the flow, ends exchanged, and what is told of that direction."""
    ahead = tuple(step for step in onwards.steps if not isinstance(step, (FlowTimes, IcmpFromPort, IcmpElements)))
    proto = next(iter(every.get((IANA, 4), ())), None)
    behind = [replace(step, proto=step.proto or proto) if isinstance(step, IcmpElements) else step
              for step in backwards.steps if not isinstance(step, FlowTimes)]  # fmt: skip
    steps = [biflow.mirrored(step) for step in ahead] + behind
    if proto and not any(isinstance(step, (IcmpElements, IcmpFromPort)) for step in behind):
        steps.append(IcmpUnknown(proto))
    times = {number: found[0] for (enterprise, number), found in (*every.items(), *own.items()) if enterprise == IANA}
    texts = dict(backwards.texts)
    texts |= {name: step for column, step in onwards.texts if (name := biflow.mirrored_name(column)) not in texts}
    columns = (biflow.mirrored_name(name) for name in onwards.columns if not name.startswith("icmp_"))
    return Reader(
        steps=(*steps, flow_times(times)),
        columns=tuple(dict.fromkeys((*columns, *backwards.columns))),
        texts=tuple(texts.items()),
        ours=onwards.ours,
        counts=True,
        exporter=onwards.exporter,
        sampler=onwards.sampler,
    )


def _by_element() -> dict[int, list[Column]]:
    table: dict[int, list[Column]] = {}
    for column in COLUMNS:
        if column.name not in _BY_RULE:
            for number in {
                column.element,
                column.element_v6,
                column.enterprise,
                *_ALSO.get(column.name, ()),
                *_PARTS.get(column.name, ()),
            } - {0}:
                table.setdefault(number, []).append(column)
    return table


_BY_ELEMENT = _by_element()
"""Columns that an element number, whosever it is, may fill: a template concerns a few of all columns."""


def _named(sources: Sources, elements: Elements) -> dict[Column, list[Source]]:
    """The columns that elements of vendors and users say to fill, and by which fields."""
    named: dict[Column, list[Source]] = {}
    for key, found in sources.items():
        if (column := elements.get(*key).column) and key not in biflow.of_nobody(sources):
            named.setdefault(BY_NAME[column], []).extend(found)
    return named


def _candidates(sources: Sources) -> list[Column]:
    return list(dict.fromkeys(column for _, number in sources for column in _BY_ELEMENT.get(number, ())))


def _sources_of(column: Column, sources: Sources, pen: int) -> tuple[Source, ...]:
    """The fields that fill ``column``: of the preferred element, and of the other address family beside it."""
    own = [source for number in (column.element_v6, column.element) if number for source in sources.get((IANA, number), ())]
    if own:
        return tuple(own)
    if parts := tuple(source for number in _PARTS.get(column.name, ()) for source in sources.get((IANA, number), ())):
        return parts
    others = [(IANA, number) for number in _ALSO.get(column.name, ())]
    if column.enterprise:
        others.append((pen, column.enterprise))
    return next((tuple(sources[key]) for key in others if key in sources), ())


def _instead(steps: Mapping[str, Step], iana: Mapping[int, Source]) -> dict[str, Step]:
    """The steps of columns for which a template has two elements."""
    found: dict[str, Step] = {}
    for name, number in _INSTEAD.items():
        step, aside = steps.get(name), _single(BY_NAME[name], iana[number]) if number in iana else None
        if isinstance(step, Number | TwelveBits) and isinstance(aside, Number | TwelveBits) and BY_NAME[name].element in iana:
            found[name] = OrElse(step, aside)
    return found


def _step(column: Column, found: tuple[Source, ...]) -> Step | None:
    steps = [step for step in (_single(column, source) for source in found) if step is not None]
    if len(steps) > 1:
        return FirstSet(column.name, tuple(steps))
    return steps[0] if steps else None


def _single(column: Column, source: Source) -> Step | None:
    """The step for one field; None when its length cannot be that of the column."""
    step: Step | None = None
    if column.kind is Kind.ADDR and source.length == 4:
        step = AddressV4(column.name, source, zero_is_absent=column.name not in ("src_addr", "dst_addr"))
    elif source.length == _FIXED_BYTES.get(column.kind):
        step = Words(column.name, source) if column.kind is Kind.U32X4 else Bytes(column.name, source)
    elif column.kind is Kind.ENUM:
        step = Code(column.name, source, _SHIFTS.get(column.name, 0), len(column.labels) - 1)
    elif column.name == "application_id":
        step = ApplicationId(column.name, source)
    elif column.name in _OF_TWELVE_BITS and source.length > 1:
        step = TwelveBits(column.name, source)
    elif column.kind not in _FIXED_BYTES:
        step = Number(column.name, source)
    return step


def _sampling(iana: Mapping[int, Source], *, ours: bool) -> dict[str, Step]:
    """The rate, when records carry it: an interval (34, 50), taken and left out (305, 306), n of N (309, 310), probability."""
    steps: dict[str, Step] = {}
    if 34 in iana and iana[34].length == SWAPPED_BYTES and not ours:
        steps["sampling_rate"] = Interval("sampling_rate", iana[34])
    for number in (34, 50):
        if number in iana:
            steps.setdefault("sampling_rate", Number("sampling_rate", iana[number]))
    for taken, others in ((305, 306), (309, 310)):
        if taken in iana and others in iana:
            steps.setdefault("sampling_rate", Ratio("sampling_rate", iana[taken], iana[others], left_out=taken == 305))
    if 311 in iana and iana[311].length in FLOAT_BYTES:
        steps.setdefault("sampling_rate", Probability("sampling_rate", iana[311]))
    for number in (304, 35):
        if number in iana:
            steps.setdefault("sampling_algorithm", CodeIfSet("sampling_algorithm", iana[number], _PACKET))
    return steps


def _icmp(iana: Mapping[int, Source], *, ours: bool) -> dict[str, Step]:
    """Type and code from whichever elements there are; else, as devices do, from the destination port."""

    def present(*numbers: int) -> tuple[Source, ...]:
        return tuple(iana[number] for number in numbers if number in iana)

    types, codes, pairs, proto = present(176, 178), present(177, 179), present(32, 139), iana.get(4)
    step: Step
    if types or pairs:
        step = IcmpElements(types, codes, pairs, proto)
    elif proto and 11 in iana and not ours:
        step = IcmpFromPort(proto, iana[11])
    else:
        return {}
    return {"icmp_type": step, "icmp_code": step}
