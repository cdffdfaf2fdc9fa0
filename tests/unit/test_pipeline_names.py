# SPDX-License-Identifier: Apache-2.0
"""Names that exporters tell in options data: interfaces and applications, whoever sends for them, and after a restart.

Traps 65 (relays), 66 (renaming), 70 (rates of one interface) of those met in the field.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from collector_kit import decoded, options
from flowgauge.collector.standing import StateFile
from flowgauge.flow.addresses import packed
from flowgauge.pipeline import exporters as exporters_module
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.exporters_state import KEPT_NS
from flowgauge.pipeline.normalise import Normalise
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.decoder_state import StateError
from netflow9_kit import flowset, packet
from wire_kit import a_set, decode, message, template

NOW = 1_800_000_000_000_000_000
ETH0 = {"ingressInterface": 2, "interfaceName": "eth0"}
NBAR = {"applicationId": 13 << 24 | 495, "applicationName": "ms-teams"}


def in_names(known: ExporterDirectory, **columns: object) -> list[str]:
    """What flows that came in through interface 2 have for its name."""
    return Normalise(known)(decoded(received_ns=NOW, in_if=2, **columns)).names("in_if_name").to_list()  # type: ignore[arg-type]


def test_trap_66_a_later_name_replaces_the_former_and_only_of_that_exporter_and_domain() -> None:
    known = ExporterDirectory()
    known.learn([options(ETH0), options(ETH0, domain=2), options({**ETH0, "interfaceName": "uplink"})])
    assert [in_names(known, domain=domain) for domain in (1, 2, 3)] == [["uplink"], ["eth0"], [""]]


def test_trap_65_what_a_relay_tells_holds_for_the_exporters_behind_it() -> None:
    """Once its options say so (``also_addr``), or else as soon as flows come that show it."""
    told, seen = ExporterDirectory(), ExporterDirectory()
    known = options(ETH0, exporter="198.51.100.9")
    told.learn([type(known)(known.exporter_addr, 1, known.records, also_addr=(packed("192.0.2.1"),))])
    assert in_names(told) == ["eth0"]
    seen.learn([known])
    assert in_names(seen, socket_addr="198.51.100.9") == ["eth0"]
    assert in_names(seen, exporter="192.0.2.2") == [""]


def test_an_exporters_own_names_are_preferred_to_its_relays() -> None:
    known = ExporterDirectory()
    known.learn([options(ETH0, exporter="198.51.100.9"), options({**ETH0, "interfaceName": "own"})])
    assert in_names(known, socket_addr="198.51.100.9") == ["own"]


def test_from_the_wire_a_relays_options_name_the_interfaces_of_those_behind() -> None:
    names = a_set(3, template(300, [(10, 4), (82, 4)], scope=1)), a_set(300, bytes((0, 0, 0, 2)) + b"eth0")
    flows = a_set(2, template(256, [(130, 4), (8, 4), (10, 4), (2, 4)]))
    flow = a_set(256, bytes((10, 9, 9, 9, 10, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1)))
    known, decoder = ExporterDirectory(), Decoder()
    result = decoder.decode(Datagrams.from_payloads([message(*names, flows, flow)], "198.51.100.9", received_ns=NOW))
    known.learn(result.options)
    kept = Normalise(known)(result.flows)
    assert kept.names("in_if_name").to_list() == ["eth0"]


def test_applications_are_named_by_the_exporters_own_table_and_a_records_name_stays() -> None:
    known = ExporterDirectory()
    known.learn([options(NBAR)])
    batch = decoded(
        4, received_ns=NOW, application_id=[13 << 24 | 495, 13 << 24 | 1, 0, 13 << 24 | 495],
        application_name=["", "", "", "own name"],
    )  # fmt: skip
    assert Normalise(known)(batch).names("application_name").to_list() == ["ms-teams", "", "", "own name"]
    assert "application_name" not in Normalise(known)(decoded(received_ns=NOW))


def test_trap_66_vrfs_are_named_by_the_exporters_own_table_until_it_names_them_anew(tmp_path: Path) -> None:
    known, again, file = ExporterDirectory(), ExporterDirectory(), StateFile(tmp_path / "names", "names")
    table = ({"ingressVRFID": 3, "VRFname": "customers"}, {"egressVRFID": 4, "VRFname": "internet"})
    known.learn([options(*table, received_ns=NOW), options({"ingressVRFID": 3, "VRFname": "others"}, domain=2)])
    file.save(known)
    file.restore(again, NOW)
    batch = decoded(3, received_ns=NOW, in_vrf=[3, 4, 0], out_vrf=[4, 9, 3])
    for directory in (known, again):
        kept = Normalise(directory)(batch)
        assert kept.names("in_vrf_name").to_list() == ["customers", "internet", ""]
        assert kept.names("out_vrf_name").to_list() == ["internet", "", "customers"]
    known.learn([options({"ingressVRFID": 3, "VRFname": "clients"})])
    assert Normalise(known)(batch).names("in_vrf_name").to_list()[0] == "clients"
    assert "in_vrf_name" not in Normalise(known)(decoded(received_ns=NOW))


def test_from_the_wire_a_ciscos_vrf_table_names_the_vrfs_of_its_flows() -> None:
    """NetFlow v9 with ``option vrf-table``: the scope is the system, the name padded with NUL."""
    table = flowset(1, struct.pack("!HHHHHHHHH", 260, 4, 8, 1, 4, 234, 4, 236, 32))
    names = flowset(260, struct.pack("!II32s", 1, 3, b"customers"))
    flows = flowset(0, struct.pack("!HHHHHHHHHHHH", 256, 5, 8, 4, 12, 4, 1, 4, 234, 4, 235, 4))
    flow = flowset(256, bytes((10, 0, 0, 1, 10, 0, 0, 2)) + struct.pack("!III", 900, 3, 7))
    known, result = ExporterDirectory(), decode(packet(table, names, flows, flow), received_ns=NOW)
    known.learn(result.options)
    kept = Normalise(known)(result.flows)
    assert [kept.array("in_vrf").tolist(), kept.array("out_vrf").tolist()] == [[3], [7]]
    assert [kept.names(f"{way}_vrf_name").to_list() for way in ("in", "out")] == [["customers"], [""]]


def test_trap_29_a_field_twice_in_options_counts_where_it_is_set() -> None:
    template_ = flowset(1, struct.pack("!HHHHHHHHHHH", 260, 4, 12, 1, 4, 82, 4, 10, 4, 82, 4))
    known = ExporterDirectory()
    known.learn(decode(packet(template_, flowset(260, struct.pack("!I4sI4s", 1, b"eth0", 2, b""))), received_ns=NOW).options)
    assert in_names(known) == ["eth0"]


def test_trap_70_a_rate_told_of_one_interface_or_sampler_is_not_the_exporters() -> None:
    known = ExporterDirectory()
    known.learn([options({"ingressInterface": 2, "samplingInterval": 100}, {"samplerId": 1, "samplerRandomInterval": 7})])
    (exporter,) = known.snapshot()
    assert exporter.sampling == 0
    known.learn([options({"samplingPacketInterval": 1, "samplingPacketSpace": 999})])
    assert exporter.sampling == 1000


def test_names_survive_a_restart_until_they_are_told_anew(tmp_path: Path) -> None:
    before, file = ExporterDirectory(), StateFile(tmp_path / "state/names-a", "names")
    before.learn([options(ETH0, NBAR, {"observationDomainName": "core-1", "samplingInterval": 10}, received_ns=NOW)])
    file.save(before)
    after = ExporterDirectory()
    file.restore(after, NOW)
    (exporter,) = after.snapshot()
    assert (exporter.name, exporter.sampling, exporter.seen_ns) == ("core-1", 10, NOW)
    assert exporter.remembered == {("interface", 2), ("application", NBAR["applicationId"])}
    assert in_names(after) == ["eth0"]
    after.learn([options({**ETH0, "interfaceName": "uplink"})])
    assert in_names(after) == ["uplink"]
    assert exporter.remembered == {("application", NBAR["applicationId"])}


def test_what_was_told_already_is_not_replaced_by_what_was_saved() -> None:
    before, after = ExporterDirectory(), ExporterDirectory()
    before.learn([options(ETH0, received_ns=NOW)])
    after.learn([options({**ETH0, "interfaceName": "uplink"}, received_ns=NOW)])
    after.restore(before.save(), NOW)
    assert in_names(after) == ["uplink"]


def test_only_what_changed_is_to_be_saved() -> None:
    known = ExporterDirectory()
    known.learn([options(ETH0)])
    once = known.changes
    known.learn([options(ETH0)])
    assert known.changes == once > 0


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format": 99, "exporters": []}', b'{"format": 1, "exporters": [{"address": 3}]}']
)
def test_a_damaged_state_is_refused_in_one_sentence(content: bytes) -> None:
    with pytest.raises(StateError, match="state of exporters"):
        ExporterDirectory().restore(content, NOW)


def test_what_makes_no_sense_or_is_old_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporters_module, "MAX_NAMES", 2)
    known = ExporterDirectory()
    known.restore(
        b'{"format": 1, "exporters": [{"address": "nobody", "domain": 1, "seen_ns": 1800000000000000000, "name": "x"},'
        b'{"address": "192.0.2.1", "domain": -1, "seen_ns": 1800000000000000000, "name": "x"},'
        b'{"address": "192.0.2.1", "domain": 1, "seen_ns": 1, "name": "x"},'
        b'{"address": "192.0.2.1", "domain": 1, "seen_ns": 1800000000000000000, "sampling": -1,'
        b' "interfaces": [[-1, "a"], [1, "b\\u001b"], [2, ""], [3, "c"], [4, "d"]]}]}',
        NOW,
    )
    (exporter,) = known.snapshot()
    assert (exporter.name, exporter.sampling, exporter.interfaces) == ("", 0, {1: "b", 3: "c"})
    known.restore(ExporterDirectory().save(), NOW + 2 * KEPT_NS)
