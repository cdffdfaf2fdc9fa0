# SPDX-License-Identifier: Apache-2.0
"""What options records tell, one record at a time: pure functions. Before: ``wire``; after: the directory and the ledger.

Names come from the network: they are cut to a length and freed of control characters before anybody keeps them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from flowgauge.flow.addresses import packed
from flowgauge.pipeline.exporter import Exporter, Named
from flowgauge.runtime.ledger import BY_ENTERPRISE
from flowgauge.schema.told import DEVICE, DEVICE_BEFORE, NODE, Answer
from flowgauge.wire.decoded import OptionsData, Value
from flowgauge.wire.sampling import TELL_RATES, Rates, rate_of

MAX_NAME_LENGTH = 253
"""Characters of a name: the longest that a DNS name, and so a node's, may have."""

Record = Mapping[str, Value]

_LATEST_MS = 1 << 45
"""Some thousand years: a time beyond it is no time."""

_INTERFACE_KEYS = ("ingressInterface", "egressInterface", "ingressPhysicalInterface", "egressPhysicalInterface",
                   "scopeInterface")  # fmt: skip
_VRF_KEYS = ("ingressVRFID", "egressVRFID")
_START_KEYS = ("systemInitTimeMilliseconds", "observationTimeMilliseconds")
_COUNTERS = frozenset(counter.name for counter in BY_ENTERPRISE.values())
_OF_NODE = frozenset(told.name for told in NODE)
_OF_DEVICE, _OF_DEVICE_BEFORE = (
    {element.name: counter.name for element, counter in zip(elements, DEVICE, strict=True)}
    for elements in (DEVICE, DEVICE_BEFORE)
)


_TELLING = _OF_NODE | _OF_DEVICE.keys() | _COUNTERS | TELL_RATES | {
    "observationDomainName", "interfaceName", "interfaceDescription", "VRFname", "applicationName", "dns_address",
}  # fmt: skip
"""Elements without which a record tells nothing that is looked for here."""


@dataclass(frozen=True, slots=True)
class AgentReport:
    """What an agent says of itself: its node, when it started (ms since 1970), and its cumulative ledger counters."""

    node: str
    started_ms: int
    counters: Mapping[str, int]

    @property
    def instance(self) -> str:
        """Its name in the ledger."""
        return f"{self.node}@{self.started_ms}"


def telling(data: OptionsData) -> OptionsData:
    """``data``, without records when they tell nothing, as those of types (RFC 5610); all of a set have the same elements."""
    return replace(data, records=()) if data.records and _TELLING.isdisjoint(data.records[0]) else data


def dns_answer(record: Record) -> Answer | None:
    """An answer of DNS that one of our agents saw; None for any other record, or one that makes no sense."""
    name, learned_ms, ttl_s = text(record.get("dns_name")), record.get("observationTimeMilliseconds"), record.get("dns_ttl_s")
    client, address = (_address(record.get(key)) for key in ("dns_client", "dns_address"))
    if not (name and client and address and isinstance(learned_ms, int) and isinstance(ttl_s, int)):
        return None
    return Answer(client, address, name, min(learned_ms, _LATEST_MS), ttl_s)


def kernel_counters(record: Record, exporter: Exporter) -> dict[str, int]:
    """What one of our agents tells of its node's kernel: by name, those of a device with ``@`` and its name; else empty."""
    of_node = {name: value for name in _OF_NODE & record.keys() if isinstance(value := record[name], int)}
    return of_node | _of_device(record, exporter, _OF_DEVICE)


def kernel_counters_before(record: Record, exporter: Exporter) -> dict[str, int]:
    """What the device's counters among these were a minute or two before, by the same names."""
    return _of_device(record, exporter, _OF_DEVICE_BEFORE)


def _of_device(record: Record, exporter: Exporter, counters: Mapping[str, str]) -> dict[str, int]:
    """By the names that ``counters`` has for elements of a device."""
    index, told = record.get("ingressInterface"), counters.keys() & record.keys()
    if not told or not isinstance(index, int):
        return {}
    device = exporter.named("interface", index) or str(index)
    return {f"{counters[name]}@{device}": value for name in told if isinstance(value := record[name], int)}


def _address(value: Value | None) -> bytes:
    try:
        return packed(str(value))
    except ValueError:
        return b""


def text(value: Value | None) -> str:
    """A name from a record, made safe to keep; empty when there is none."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    value = value[:MAX_NAME_LENGTH]
    if not value.isprintable():
        value = "".join(character for character in value if character.isprintable())
    return value.strip()


def names(record: Record) -> Iterator[tuple[Named, int, str]]:
    """What a record names: an interface, a routing table (VRF), an application.

    An interface by IE 10 or 14, or the scope 2 of NetFlow v9 (RFC 3954 §6.1), with 82, else 83; a VRF by 234 or
    235 with 236 (Cisco's ``option vrf-table``); an application by 95 with 96.
    """
    name = text(record.get("interfaceName")) or text(record.get("interfaceDescription"))
    index = next((record[key] for key in _INTERFACE_KEYS if key in record), None)
    if name and isinstance(index, int) and index > 0:
        yield "interface", index, name
    name = text(record.get("VRFname"))
    for vrf in {record[key] for key in _VRF_KEYS if name and key in record}:
        if isinstance(vrf, int) and vrf > 0:
            yield "vrf", vrf, name
    name, number = text(record.get("applicationName")), record.get("applicationId")
    if name and isinstance(number, int) and number > 0:
        yield "application", number, name


def sampling_rate(record: Record) -> int:
    """One of how many packets the exporter as a whole observes; 0 when not told, or of a part of it only (RFC 5477 §8.2)."""
    rate, rates = rate_of(record), Rates()
    if rate:
        rates.put(record, rate)
    return rates.system


def agent_report(record: Record) -> AgentReport | None:
    """What one of our agents reports; None for a record of anybody else."""
    counters = {name: value for name in _COUNTERS & record.keys() if isinstance(value := record[name], int) and value >= 0}
    node = domain_name(record)
    started = next((record[key] for key in _START_KEYS if key in record), None)
    if not counters or not node or not isinstance(started, int):
        return None
    return AgentReport(node, started, counters)


def domain_name(record: Record) -> str:
    """Name of the observation domain (IE 300): of an agent its node's."""
    return text(record.get("observationDomainName"))
