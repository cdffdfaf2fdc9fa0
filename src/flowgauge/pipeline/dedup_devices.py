# SPDX-License-Identifier: Apache-2.0
"""Dedup of devices' flows: what a router, switch or probe counts a second time, by itself or beside an agent of ours.

* ``other_direction``: a device that meters packets where they come in and where they go out reports them twice (element 61,
  flowDirection). Its egress flow is marked when the device is known to meter what comes in through the flow's input
  interface: by the interface, not by matching flows, so NAT, tunnels and sampling on the way through do not matter. Known are
  interfaces of which ingress flows came within ``METERED_MS``. An egress flow that does not say where it came in is marked when
  the same flow was seen coming in while it lasted. Without a direction nothing is marked. A device is its address, of
  whatever observation domain: a router's line cards have one each, and number their interfaces together.
* ``router_beside_agent``: a device's flow is marked when an agent observed the same flow while it lasted (``SLACK_MS`` allows
  for clocks), under its addresses before or after translation. Best effort: what the agent missed of the flow is not counted
  then; a flow that the agent reports later than the device, or that was forgotten (``pipeline_flows_forgotten``), counts twice.

Both look back only, so that a batch never waits. Part of :mod:`flowgauge.pipeline.dedup`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgauge.flow import addresses
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.hashes import Hashes, address_hashes, end_hashes, mixed, one_way
from flowgauge.pipeline.recent_flows import PLACES, RecentFlows
from flowgauge.pipeline.tally import Counts
from flowgauge.schema.enums import DUPLICATE_OF, FLOW_DIRECTION, FLOW_FORMAT, RECORD_KIND, code

METERED_MS = 1_800_000
"""An interface of which no ingress flow came for half an hour, the longest that exporters hold a flow, is not metered."""
MAX_INTERFACES = 65_536
"""Interfaces remembered to be metered (about 100 B each); beyond it all are learned anew."""
SLACK_MS = 10_000
"""How far the clocks of a device and an agent may be apart: flows of one 5-tuple that follow each other sooner are mixed up."""
REMEMBER_MS = 600_000
"""Flows are remembered for so long after one came that might be found among them: where there are no devices, none is."""

_AGENT = code(FLOW_FORMAT, "agent")
_DEVICES = [code(FLOW_FORMAT, label) for label in ("netflow1", "netflow5", "netflow7", "netflow9", "ipfix", "sflow5")]
_INGRESS, _EGRESS = code(FLOW_DIRECTION, "ingress"), code(FLOW_DIRECTION, "egress")
_FLOW = code(RECORD_KIND, "flow")
_OTHER_DIRECTION, _BESIDE_AGENT = code(DUPLICATE_OF, "other_direction"), code(DUPLICATE_OF, "router_beside_agent")

Marks = npt.NDArray[np.uint8]


class DeviceDedup:
    """Marks flows of devices; used by one thread.

    Args:
        places: flows remembered, of agents and of devices each.
    """

    def __init__(self, counts: Counts, places: int = PLACES) -> None:
        self._counts = counts
        self._metered = MeteredInterfaces()
        self._came_in, self._of_agents = RecentFlows(places), RecentFlows(places)
        self._device_ms = self._unnamed_ms = -REMEMBER_MS

    def mark(self, batch: FlowBatch, marks: Marks) -> None:
        """Sets the marks of devices' flows; those of others stay as they are."""
        flow_format = batch.array("flow_format")
        from_device = np.isin(flow_format, _DEVICES)
        now_ms = int(batch.array("time_end_ms").max(initial=0))
        if from_device.any():
            self._device_ms = now_ms
        if now_ms - self._device_ms < REMEMBER_MS and (of_agent := flow_format == _AGENT).any():
            self._remember(batch.take(of_agent))
        chosen = np.flatnonzero(from_device & (batch.array("record_kind") == _FLOW))
        if not len(chosen):
            return
        rows = batch.take(chosen)
        found = self._twice(rows, now_ms)
        if self._of_agents.used:
            start_ms, end_ms = _span(rows)
            beside = self._of_agents.seen(_hashes(rows), start_ms - SLACK_MS, end_ms + SLACK_MS)
            found = np.where(beside, _BESIDE_AGENT, found)
        marks[chosen] = found

    def _remember(self, rows: FlowBatch) -> None:
        """Takes in agents' flows: as they left the pod, and as they are on the wire when the node translated them."""
        proto, own = rows.array("proto"), _ends(rows, "")
        start_ms, end_ms = _span(rows)
        lost = self._of_agents.add(one_way(*own, proto), start_ms, end_ms)
        translated = [_is_set(rows.array(f"post_nat_{end}_addr")) for end in ("src", "dst")]
        some = np.flatnonzero(translated[0] | translated[1])
        if len(some):
            after = _ends(rows.take(some), "post_nat_")
            src, dst = (np.where(translated[end][some], after[end], own[end][some]) for end in (0, 1))
            lost += self._of_agents.add(one_way(src, dst, proto[some]), start_ms[some], end_ms[some])
        self._counts.add("pipeline_flows_forgotten", lost)

    def _twice(self, rows: FlowBatch, now_ms: int) -> Marks:
        """Marks flows that are the egress side of what the same device counted as it came in."""
        direction, in_if = rows.array("flow_direction"), rows.array("in_if")
        marks = np.zeros(len(rows), np.uint8)
        ingress, egress = np.flatnonzero(direction == _INGRESS), np.flatnonzero(direction == _EGRESS)
        if not len(ingress) and not len(egress):
            return marks
        device = address_hashes(rows.array("exporter_addr"))
        interface = mixed(device ^ in_if.astype(np.uint64))
        self._metered.learn(interface[ingress[in_if[ingress] > 0]], now_ms)
        named = egress[in_if[egress] > 0]
        marks[named] = self._metered.holds(interface[named], now_ms) * np.uint8(_OTHER_DIRECTION)
        unnamed = egress[in_if[egress] == 0]
        if len(unnamed):
            self._unnamed_ms = now_ms
        if now_ms - self._unnamed_ms < REMEMBER_MS:
            hashes, (start_ms, end_ms) = mixed(_hashes(rows) ^ device), _span(rows)
            lost = self._came_in.add(hashes[ingress], start_ms[ingress], end_ms[ingress])
            self._counts.add("pipeline_flows_forgotten", lost)
            came_in = self._came_in.seen(hashes[unnamed], start_ms[unnamed], end_ms[unnamed])
            marks[unnamed] = came_in * np.uint8(_OTHER_DIRECTION)
        return marks


class MeteredInterfaces:
    """Interfaces at which a device meters what comes in, by a hash of both."""

    def __init__(self) -> None:
        self._latest_ms: dict[int, int] = {}

    def learn(self, interfaces: Hashes, now_ms: int) -> None:
        """Flows came in through these."""
        if len(self._latest_ms) >= MAX_INTERFACES:
            self._latest_ms.clear()
        self._latest_ms.update(dict.fromkeys(np.unique(interfaces).tolist(), now_ms))

    def holds(self, interfaces: Hashes, now_ms: int) -> npt.NDArray[np.bool_]:
        """Which of these are metered."""
        distinct, inverse = np.unique(interfaces, return_inverse=True)
        known = (now_ms - self._latest_ms.get(key, -METERED_MS) < METERED_MS for key in distinct.tolist())
        return np.fromiter(known, np.bool_, len(distinct))[inverse.reshape(-1)]


def _is_set(column: addresses.AddressColumn) -> npt.NDArray[np.bool_]:
    high, low = addresses.words(column).T
    found: npt.NDArray[np.bool_] = (high | low) != 0
    return found


def _hashes(rows: FlowBatch) -> Hashes:
    return one_way(*_ends(rows, ""), rows.array("proto"))


def _ends(rows: FlowBatch, which: str) -> tuple[Hashes, Hashes]:
    """Hashes of both ends; ``which``: of the columns' names."""
    src, dst = (end_hashes(rows, f"{which}{end}_addr", f"{which}{end}_port") for end in ("src", "dst"))
    return src, dst


def _span(rows: FlowBatch) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    end_ms = rows.array("time_end_ms")
    return end_ms - rows.array("duration_ms").astype(np.int64), end_ms
