# SPDX-License-Identifier: Apache-2.0
"""Options data that are said again: read once, passed on as often as they are said, forgotten in time."""

from __future__ import annotations

import struct

import pytest

from flowgauge.flow.addresses import packed
from flowgauge.pipeline.options import telling
from flowgauge.wire import options
from flowgauge.wire.decoded import OptionsData
from flowgauge.wire.elements import Element, Elements
from flowgauge.wire.layout import Field, Layout
from flowgauge.wire.options import OptionsReader, SetsRead

NAMES = ((0, 10, 4), (0, 96, 8))


@pytest.fixture
def elements() -> Elements:
    return Elements(32473)


def layout_of(elements: Elements) -> Layout:
    return Layout(tuple(Field(*one) for one in NAMES), 1, elements, is_options=True)


def content(number: int) -> bytes:
    return struct.pack("!I", number) + b"some app"


def test_a_set_that_is_said_again_in_another_batch_is_not_read_again(elements: Elements) -> None:
    read, layout = SetsRead(elements), layout_of(elements)
    first, whole = OptionsReader(elements, read).set_of(content(1), layout)
    read.begin()
    later = OptionsReader(elements, read)
    later.values_left = 0
    assert later.set_of(content(1), layout) == (first, True)
    assert whole
    assert first[0]["applicationName"] == "some app"
    assert later.set_of(content(2), layout) == ((), False)  # not known, and beyond the bound


def test_a_set_that_was_read_in_part_is_read_again(elements: Elements) -> None:
    read, layout = SetsRead(elements), layout_of(elements)
    short = OptionsReader(elements, read)
    short.values_left = 2
    records, whole = short.set_of(content(1) + content(2), layout)
    assert (len(records), whole) == (1, False)
    records, whole = OptionsReader(elements, read).set_of(content(1) + content(2), layout)
    assert (len(records), whole) == (2, True)


def test_what_is_known_of_sets_goes_with_the_elements_and_when_there_is_too_much(
    elements: Elements, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, layout = SetsRead(elements), layout_of(elements)
    OptionsReader(elements, read).set_of(content(1), layout)
    elements.replace_added([Element(0, 96, "renamed", "string")])
    read.begin()
    (record,), _ = OptionsReader(elements, read).set_of(content(1), layout)
    assert record["renamed"] == "some app"
    monkeypatch.setattr(options, "MAX_KEPT_BYTES", 100)
    read.begin()
    assert read.get(content(1), layout) is None


def test_records_that_tell_nothing_are_not_passed_on() -> None:
    def data(**record: int | str) -> OptionsData:
        return OptionsData(packed("192.0.2.1"), 1, (record,), received_ns=5)

    types = telling(data(informationElementId=1, informationElementName="x"))
    assert (types.records, types.received_ns) == ((), 5)
    for told in (data(interfaceName="eth0"), data(samplingInterval=7), data(kernel_packets_seen=1), data(dns_address="::1")):
        assert telling(told) is told
