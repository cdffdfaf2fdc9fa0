# SPDX-License-Identifier: Apache-2.0
"""Whatever a device meters: once it is known, each packet that it metered anywhere is counted exactly once.

The model draws which interfaces meter what comes in and what goes out, and sends flows through; it knows nothing of the rules.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from collector_kit import decoded
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.dedup import Dedup
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.normalise import Normalise
from flowgauge.runtime.ledger import Ledger

NOW = 1_800_000_000_000_000_000
INTERFACES = (1, 2, 3, 4)
ITS_OWN = 0


@dataclass(frozen=True)
class Device:
    """A device and what passed through: interfaces that meter packets coming in and going out; flows as (in, out, packets)."""

    addr: str
    ingress: frozenset[int]
    egress: frozenset[int]
    flows: tuple[tuple[int, int, int], ...]


interface_sets = st.frozensets(st.sampled_from(INTERFACES))
ways = st.tuples(st.sampled_from((ITS_OWN, *INTERFACES)), st.sampled_from(INTERFACES), st.integers(1, 1000))


@st.composite
def devices(draw: st.DrawFn) -> list[Device]:
    return [
        Device(f"192.0.2.{number + 1}", draw(interface_sets), draw(interface_sets), tuple(draw(st.lists(ways, max_size=15))))
        for number in range(draw(st.integers(1, 3)))
    ]


def reports(device: Device) -> list[dict[str, object]]:
    """Its records: where a flow is metered, and in which direction."""
    found: list[dict[str, object]] = []
    for number, (came, went, packets) in enumerate(device.flows):
        flow = {"in_if": came, "out_if": went, "packets": packets, "src_port": number + 1, "exporter": device.addr}
        if came in device.ingress:
            found.append({**flow, "flow_direction": "ingress"})
        if went in device.egress:
            found.append({**flow, "flow_direction": "egress"})
    return found


def batch_of(records: list[dict[str, object]]) -> FlowBatch:
    columns = {name: [record[name] for record in records] for name in records[0]}
    exporter = columns.pop("exporter")
    batch = decoded(len(records), received_ns=NOW, flow_format="netflow9", exporter_addr=exporter, **columns)  # type: ignore[arg-type]
    return Normalise(ExporterDirectory())(batch)


@settings(max_examples=200)
@given(devices(), st.randoms(use_true_random=False), st.integers(1, 40))
def test_each_packet_is_counted_once_by_each_device_that_metered_it(drawn: list[Device], chance: object, size: int) -> None:
    stage = Dedup(ExporterDirectory(), "Mark", Ledger("collector", "x@1"))
    records = [record for device in drawn for record in reports(device)]
    if not records:
        return
    stage(batch_of(records))  # the devices become known
    chance.shuffle(records)  # type: ignore[attr-defined]
    counted = 0
    for first in range(0, len(records), size):
        batch = batch_of(records[first : first + size])
        marks = stage(batch).array("duplicate_of")
        counted += int(batch.array("packets")[marks == 0].sum())
    truth = sum(packets for one in drawn for came, went, packets in one.flows if came in one.ingress or went in one.egress)
    assert counted == truth
