# SPDX-License-Identifier: Apache-2.0
"""The report's judges on small batches: what they count, and that each check can fail."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flowgauge.demo.report.accuracy import Accuracy
from flowgauge.demo.report.checks import Counting, Findings, checks
from flowgauge.demo.report.connections import ACCEPTED, OPENED
from flowgauge.demo.report.document import document, lines
from flowgauge.demo.report.handshakes import OVER_TLS
from flowgauge.demo.report.identity import Identity
from flowgauge.demo.report.ledger import balance
from flowgauge.demo.report.owners import PROCESSES
from flowgauge.demo.report.round_trips import MEAN, SMALLEST
from flowgauge.demo.report.score import Score, scored
from flowgauge.demo.report.signals import REPEATED
from flowgauge.demo.report.transfer import TransferAccount
from flowgauge.demo.report.translations import TRANSLATED
from flowgauge.demo.scene.counters import Segments, Traffic
from flowgauge.demo.scene.faults import Dropped
from flowgauge.demo.truth import Served, Tenure, TruthLog
from flowgauge.demo.witness import Place, Reading
from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.store.answer import Edge, End, Sampling

POD, OTHER, VIP, CLIENT = "10.244.1.2", "10.244.2.2", "10.96.0.1", "203.0.113.10"
SECOND_MS = 1_000
NONE = "::"


def _truth() -> TruthLog:
    """POD is first ``web-1``, from 100 s on ``import-1``; OTHER is ``db-1`` behind the service at VIP."""
    truth = TruthLog()
    for tenure in (
        Tenure(POD, "Pod", "shop", "web-1", "web", "Deployment", 0, 100 * 10**9, node="n1", zone="z1"),
        Tenure(POD, "Pod", "jobs", "import-1", "import", "Deployment", 101 * 10**9, node="n1", zone="z1"),
        Tenure(OTHER, "Pod", "shop", "db-1", "db", "Deployment", 0, node="n2", zone="z2"),
        Tenure(VIP, "Service", "shop", "db", "db", "Deployment", 0),
        Tenure(CLIENT, "Subnet", "", "EXT:clients", "", "", 0),
    ):
        truth.begin(tenure)
    return truth


_DB = {
    "namespace": "shop",
    "name": "db-1",
    "kind": "Pod",
    "owner": "db",
    "owner_kind": "Deployment",
    "node": "n2",
    "zone": "z2",
}
_WEB = {**_DB, "name": "web-1", "owner": "web", "node": "n1", "zone": "z1"}
_IMPORT = {**_WEB, "namespace": "jobs", "name": "import-1", "owner": "import"}


def _row(src: str = POD, dst: str = OTHER, *, nat: str = NONE, at_s: int = 10, packets: int = 10, size: int = 1000,
         rate: int = 1, port: int = 9000, reporter: str = "n1", src_names: dict[str, str] | None = None,
         dst_names: dict[str, str] | None = None) -> dict[str, Any]:  # fmt: skip
    names = {f"src_{key}": value for key, value in (_WEB if src_names is None else src_names).items()}
    names |= {f"dst_{key}": value for key, value in (_DB if dst_names is None else dst_names).items()}
    return {
        "src_addr": src, "dst_addr": dst, "post_nat_dst_addr": nat, "time_end_ms": at_s * SECOND_MS, "packets": packets,
        "bytes": size, "dst_port": port, "sampling_rate": rate, "node_reporter": reporter,
        "proto": 6, **names,
    }  # fmt: skip


def _batch(*rows: dict[str, Any]) -> FlowBatch:
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name, "") for row in rows]
        if name.endswith("_addr"):
            columns[name] = from_texts(values)
        elif isinstance(values[0], str):
            columns[name] = Names.from_strings(values)
        else:
            kinds = {"time_end_ms": np.int64, "sampling_rate": np.uint32}
            columns[name] = np.array(values, kinds.get(name, np.uint64))
    return FlowBatch(columns)


def _place(packets: int = 10, size: int = 1000, *, arp: int = 0, nft: int | None = None) -> Place:
    tenure = _truth().tenures()[0]
    node = SimpleNamespace(name="n1")
    pod = SimpleNamespace(address=POD, tenure=tenure, name="web-1")
    nothing = Reading(Traffic(), 0, 0, 0)
    frames, layer2 = packets + arp, size + 14 * packets + 42 * arp
    last = Reading(Traffic(frames, layer2), arp, 42 * arp, arp if nft is None else nft)
    return Place("web-1", node, "veth-1", pod, nothing, last)  # type: ignore[arg-type]


def test_a_pods_account_counts_what_its_node_reported_with_it_at_either_end() -> None:
    """Not other nodes' observations, not other pods, not the address's later holder; duplicates and translated ends count."""
    accuracy = Accuracy.of([_place(packets=30, size=3000)], {})
    accuracy.add(
        _batch(
            _row(),
            _row(src=OTHER, dst=POD),
            _row(src=OTHER, dst=VIP, nat=POD),
            _row(reporter="n2"),
            _row(src=CLIENT, dst=OTHER),
            _row(at_s=200),
        )
    )
    account = accuracy.accounts[0]
    assert (account.packets_off, account.bytes, account.error) == (0, 3000, 0.0)


def test_interface_frames_that_are_not_ip_are_taken_off() -> None:
    place = _place(packets=10, size=1000, arp=3)
    assert (place.packets, place.layer3_bytes, place.hook_frames, place.nft_frames) == (10, 1000, 3, 3)


@pytest.mark.parametrize(("more", "off"), [(0, 0), (7, 0), (8, 8), (-1, -1)])
def test_what_passed_around_the_readings_or_was_dropped_by_the_device_may_be_in_flows(more: int, off: int) -> None:
    """4 packets while the readings were taken, 3 that the device dropped: so many more may be in flows, none less."""
    place = _place(packets=100, size=10_000)
    place.before, place.after = Traffic(rx_packets=1, rx_bytes=114), Traffic(tx_packets=3, tx_bytes=342)
    assert place.last is not None
    place.last = replace(place.last, traffic=replace(place.last.traffic, dropped=3))
    accuracy = Accuracy.of([place], {})
    accuracy.add(_batch(_row(packets=100 + more, size=10_000 + 100 * more)))
    assert accuracy.accounts[0].packets_off == off
    assert (accuracy.accounts[0].error == 0.0) == (more >= 0)


def test_scaled_figures_are_judged_by_their_error() -> None:
    """100 of 10,000 packets seen at 1:100 is right, 100 of 20,000 is not."""
    for real, within in ((10_000, True), (20_000, False)):
        accuracy = Accuracy.of([_place(packets=real, size=real * 100)], {})
        accuracy.add(_batch(_row(packets=100, size=10_000, rate=100)))
        assert accuracy.accounts[0].packets == 10_000
        assert accuracy.accounts[0].within_error is within


def test_sampled_bytes_may_miss_the_few_large_packets() -> None:
    """16 of 2,106 packets, and none of the 200 large ones: so it comes out one time in five. Ten times the bytes never do."""
    for real, within in ((431_701, True), (116_000 + 4 * 1_700_000, False)):
        accuracy = Accuracy.of([_place(packets=2106, size=real)], {})
        accuracy.add(_batch(*[_row(packets=1, size=72, rate=100)] * 16))
        assert accuracy.accounts[0].within_error is within


def test_names_are_judged_by_who_had_the_address_at_the_time() -> None:
    identity = Identity(_truth())
    identity.add(_batch(_row(), _row(at_s=200, src_names=_IMPORT)))
    assert (identity.checked, identity.wrong, identity.unknown) == (4, 0, 0)
    assert identity.reused == {"web-1": 1, "import-1": 1}
    identity.add(_batch(_row(at_s=200)))
    assert identity.wrong == 1
    assert "import-1" in identity.examples[0]


def test_a_flow_in_the_millisecond_of_a_hand_over_is_nobodys() -> None:
    truth = _truth()
    before, after = (tenure for tenure in truth.tenures() if tenure.address == POD)
    before.to_ns = after.from_ns = 100 * SECOND_MS * 1_000_000 + 300_000
    identity = Identity(truth)
    identity.add(_batch(_row(at_s=100), _row(at_s=100, src_names=_IMPORT)))
    assert (identity.wrong, identity.at_hand_over) == (0, 4)
    early, late = _row(), _row(src_names=_IMPORT)
    early["time_end_ms"], late["time_end_ms"] = 100 * SECOND_MS - 1, 100 * SECOND_MS + 1
    identity.add(_batch(early, late))
    assert (identity.wrong, identity.at_hand_over, identity.reused) == (0, 4, {"web-1": 1, "import-1": 1})


def test_an_end_without_any_name_is_unknown_not_wrong() -> None:
    identity = Identity(_truth())
    identity.add(_batch(_row(src_names={}), _row()))
    assert (identity.checked, identity.wrong, identity.unknown) == (4, 0, 1)


def test_a_translated_destination_is_the_pod_behind_and_its_service_is_checked_too() -> None:
    identity = Identity(_truth())
    identity.add(_batch(_row(dst=VIP, nat=OTHER, dst_names={**_DB, "service": "db"})))
    assert (identity.checked, identity.wrong) == (3, 0)
    identity.add(_batch(_row(dst=VIP, nat=OTHER, dst_names={**_DB, "service": "cache"})))
    assert identity.wrong == 1


def test_an_outside_client_is_judged_by_its_label() -> None:
    identity = Identity(_truth())
    identity.add(_batch(_row(src=CLIENT, src_names={"subnet": "EXT:clients"}), _row(src=CLIENT, src_names={"subnet": "pods"})))
    assert (identity.checked, identity.wrong) == (4, 1)


def _components(**changes: int) -> list[dict[str, Any]]:
    agent = {"export_records_sent": 110, "kernel_packets_seen": 50, "kernel_packets_in_flows": 30,
             "kernel_packets_seen_before": 20}  # fmt: skip
    collector = {"store_rows_written": 90, "decode_options_records": 15, "sequence_gap_records": 5, "receive_bytes": 999}
    counters = {**agent, **collector, **changes}
    return [
        {"component": "agent", "instance": "a@1", "counters": {name: counters[name] for name in agent}},
        {"component": "collector", "instance": "c@1", "counters": {name: counters[name] for name in collector}},
    ]


def test_the_ledger_balances_when_every_record_is_stored_used_or_lost_by_name() -> None:
    found = balance(_components())
    assert (found.offered, found.stored, found.options, found.losses) == (110, 90, 15, {"sequence_gap_records": 5})
    assert (found.residual, found.packets_residual) == (0, 0)
    assert balance(_components(store_rows_written=89)).residual == 1
    assert balance(_components(kernel_packets_in_flows=29)).packets_residual == 1


def _transfer(packets: int, size: int) -> TransferAccount:
    ends = [
        SimpleNamespace(address=address, place=SimpleNamespace(node=SimpleNamespace(name="n1"))) for address in (POD, OTHER)
    ]
    transfer = SimpleNamespace(
        sender=ends[0], receiver=ends[1], received_bytes=100_000, sent_bytes=100_000, segments=Segments(998, 2)
    )
    account = TransferAccount(transfer)  # type: ignore[arg-type]
    account.add(_batch(_row(packets=packets, size=size), _row(packets=5, reporter="n2"), _row(src=OTHER, dst=POD)))
    return account


def test_the_bulk_transfer_counts_one_direction_at_the_senders_node() -> None:
    account = _transfer(1000, 152_000)
    assert (account.packets_error, account.bytes_error) == (0.0, 0.0)
    assert _transfer(990, 151_480).packets_error == pytest.approx(8 / 998)
    assert _transfer(1010, 152_520).packets_error == pytest.approx(10 / 1000)
    assert _transfer(1000, 151_000).bytes_error == pytest.approx(1000 / 100_000)


def test_segments_of_the_bulk_transfer_that_were_lost_before_the_node_saw_them_are_no_difference() -> None:
    account = _transfer(998, 151_896)
    assert (account.packets_error, account.bytes_error) == (0.0, 0.0)


def test_what_a_fault_dropped_before_a_pods_link_is_no_difference() -> None:
    """The node saw 14 packets to the pod; a rule dropped 4 of them before the interface that counted 10."""
    accuracy = Accuracy.of([_place(packets=10, size=1000)], {})
    accuracy.add(_batch(_row(OTHER, POD, packets=14, size=1400)))
    accuracy.leave_out({POD: Dropped(4, 400), OTHER: Dropped(9, 900)})
    account = accuracy.accounts[0]
    assert (account.packets_off, account.error) == (0, 0.0)


def test_dropped_packets_to_the_pods_service_count_whether_their_row_was_translated_or_not() -> None:
    """SYNs of a connection that never was stay untranslated; one that was sent again and got through translates its row."""
    accuracy = Accuracy.of([_place(packets=10, size=1000)], {POD: Served(VIP, alone=True)})
    accuracy.add(
        _batch(
            _row(OTHER, VIP, packets=3, size=180),
            _row(OTHER, VIP, nat=POD, packets=12, size=1120),
            _row(OTHER, VIP, nat=CLIENT, packets=7, size=700),
        )
    )
    accuracy.leave_out({POD: Dropped(5, 300, 3, 180)})
    account = accuracy.accounts[0]
    assert (account.packets_off, account.error) == (0, 0.0)


def test_untranslated_packets_that_no_rule_dropped_went_elsewhere() -> None:
    """Such as what is sent again of a connection that the node tracks no longer: never on the pod's link.

    Of five dropped packets two were of a connection that was there, and stand in its translated row.
    """
    accuracy = Accuracy.of([_place(packets=10, size=1000)], {POD: Served(VIP, alone=True)})
    accuracy.add(_batch(_row(OTHER, VIP, packets=24, size=1440), _row(OTHER, VIP, nat=POD, packets=12, size=1120)))
    accuracy.leave_out({POD: Dropped(5, 300, 3, 180)})
    account = accuracy.accounts[0]
    assert (account.packets_off, account.error) == (0, 0.0)


@pytest.mark.parametrize(("passed", "off"), [(10, 0), (12, 0), (15, 0), (16, -1), (9, 1)])
def test_errors_of_icmp_to_a_service_reached_this_pod_or_another_behind_it(passed: int, off: int) -> None:
    accuracy = Accuracy.of([_place(packets=passed, size=passed * 100)], {POD: Served(VIP)})
    refused = _row(OTHER, VIP, packets=5, size=500) | {"proto": 1}
    accuracy.add(_batch(_row(OTHER, VIP, nat=POD, packets=10, size=1000), refused))
    account = accuracy.accounts[0]
    assert (account.packets_off > 0) - (account.packets_off < 0) == off
    assert (account.error > 0) == bool(off)


def test_a_pod_is_known_by_its_service_and_whether_it_is_alone_behind_it() -> None:
    truth = _truth()
    assert truth.services() == {OTHER: Served(VIP, alone=True)}
    truth.begin(Tenure(CLIENT, "Pod", "shop", "db-2", "db", "Deployment", 0))
    assert truth.services() == {OTHER: Served(VIP), CLIENT: Served(VIP)}


def _edge(client: tuple[str, str], server: tuple[str, str], port: int, service: str, sampling: Sampling) -> Edge:
    return Edge(End(*client, "Deployment", "app"), End(*server, "Deployment", "app"), port, 6, service, 1000, 10, 2, 500, 0, 0,
                None, sampling)  # fmt: skip


def _story(sampling: Sampling) -> list[Edge]:
    web, database = ("flow-demo", "django-psql-example"), ("flow-demo", "postgresql")
    return [
        _edge(("", "EXT:clients"), web, 8080, "django-psql-example", sampling),
        _edge(web, database, 5432, "postgresql", sampling),
        _edge(web, ("openshift-dns", "dns-default"), 53, "dns-default", sampling),
        _edge(("", "node-a"), web, 8080, "", sampling),
        _edge(("other-team", "stock-report"), database, 5432, "postgresql", sampling),
    ]


def _signals(**measured: float) -> list[Score]:
    """What is checked, and DNS, which never is; each measured as 20 where 20 is the truth, unless said otherwise."""
    names = {
        "mean": MEAN, "smallest": SMALLEST, "repeated": REPEATED, "processes": PROCESSES, "opened": OPENED,
        "accepted": ACCEPTED, "translated": TRANSLATED, "dns": "names asked of DNS",
    }  # fmt: skip
    return [scored(name, measured.get(key, 20), 20, 2, source="ss -ti") for key, name in names.items()]


def _findings(**changes: Any) -> Findings:
    accuracy, identity = Accuracy.of([_place()], {}), Identity(_truth())
    accuracy.add(_batch(_row()))
    identity.add(_batch(_row(), _row(at_s=200, src_names=_IMPORT)))
    good = Findings(
        counting=Counting.EXACT, sampling=1, keeps_duplicates=True, sees_pods=True, sees_sockets=True, interval_s=2,
        setup_s=9, first_named_flow_s=10, visible_s=3, nodes=3, pods=11,
        replaced=True, outside_label="EXT:clients", edges=_story(Sampling(unsampled=2)), accuracy=accuracy, identity=identity,
        balance=balance(_components()), transfer=_transfer(1000, 152_000), signals=_signals(),
    )  # fmt: skip
    return replace(good, **changes)


def test_every_check_holds_when_all_is_well() -> None:
    found = _findings()
    assert [check for check in checks(found) if not check.held] == []
    assert lines(found, checks(found))[-1].endswith(f"all {len(checks(found))} checks held")
    assert {"setup_s", "first_named_flow_s", "nodes", "pods", "edges", "accuracy", "identity", "ledger", "checks"} <= set(
        document(found, checks(found))
    )


def _accuracy(place: Place) -> Accuracy:
    accuracy = Accuracy.of([place], {})
    accuracy.add(_batch(_row()))
    return accuracy


def _identity(*rows: dict[str, Any]) -> Identity:
    identity = Identity(_truth())
    identity.add(_batch(*rows))
    return identity


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        ({"first_named_flow_s": 26}, "first named flow"),
        ({"first_named_flow_s": None}, "first named flow"),
        ({"visible_s": 5.5}, "a click becomes a named flow"),
        ({"visible_s": None}, "a click becomes a named flow"),
        ({"accuracy": _accuracy(_place(packets=11, size=1000))}, "packets equal the interfaces'"),
        ({"accuracy": _accuracy(_place(packets=10, size=1002))}, "bytes equal the interfaces'"),
        ({"accuracy": _accuracy(_place(arp=2, nft=3))}, "frames that are not IP: hook and nft agree"),
        ({"transfer": _transfer(996, 151_792)}, "bulk transfer: packets equal TcpOutSegs"),
        ({"transfer": _transfer(1000, 152_101)}, "bulk transfer: bytes equal the bytes sent"),
        ({"identity": _identity(_row(src_names=_DB), _row(at_s=200, src_names=_IMPORT))}, "no name is wrong"),
        ({"identity": _identity(_row(src_names={}), _row(at_s=200, src_names=_IMPORT))}, "no name is missing"),
        ({"identity": _identity(_row())}, "both holders of the reused address have flows"),
        ({"edges": _story(Sampling())[1:]}, "edge: the outside world → Django over HTTP"),
        ({"signals": [*_signals(), scored(OVER_TLS, 20, 20, 2)]}, "edge: checkout → payment-gateway:443, 8443 at its pods"),
        ({"edges": _story(Sampling())[:4]}, "edge: the unexpected neighbour → postgresql:5432"),
        ({"signals": _signals(mean=22.1, dns=9)}, "round trips to PostgreSQL, ms"),
        ({"signals": _signals(smallest=17.9)}, "smallest round trip to PostgreSQL, ms"),
        ({"signals": _signals(repeated=17)}, "segments sent again by pods"),
        ({"signals": _signals(processes=17)}, "processes of connections to PostgreSQL"),
        ({"signals": _signals(opened=23)}, "connections opened by pods"),
        ({"signals": _signals(accepted=23)}, "connections accepted by pods"),
        ({"signals": _signals(translated=17)}, "connections to a Service, each with its backend"),
        ({"balance": balance(_components(store_rows_written=91))}, "ledger: offered = stored + losses"),
        ({"balance": balance(_components(kernel_packets_seen=51))}, "ledger: packets seen = in flows + losses"),
    ],
)
def test_each_check_fails_for_its_own_reason(broken: dict[str, Any], name: str) -> None:
    found = _findings(**broken)
    assert [check.name for check in checks(found) if not check.held] == [name]
    assert "1 of" in lines(found, checks(found))[-1]


def test_a_signals_check_says_both_numbers() -> None:
    found = next(check for check in checks(_findings(signals=_signals(repeated=17))) if check.name == REPEATED)
    assert found.detail == "17 in flows, 20 by ss -ti, off by 3, at most 2 is allowed"


def test_what_is_scored_and_not_checked_is_printed_with_its_truth_and_without_a_verdict() -> None:
    found = _findings(signals=_signals(dns=9))
    printed = next(line for line in lines(found, checks(found)) if "names asked of DNS" in line)
    assert " ".join(printed.split()) == "-- names asked of DNS 9 in flows, 20 by ss -ti, off by 11"
    blind = _findings(sees_sockets=False, signals=_signals(dns=9))
    assert not [line for line in lines(blind, checks(blind)) if "names asked of DNS" in line]


def test_signals_are_not_asked_for_where_agents_do_not_have_them() -> None:
    found = _findings(sees_sockets=False, signals=_signals(mean=0, smallest=0, repeated=0))
    assert [check for check in checks(found) if not check.held] == []


def test_with_sampling_figures_must_lie_within_their_error_and_say_so() -> None:
    sampled = Sampling(packets_variance=9900.0, bytes_variance=9900.0 * 10_000, sampled=2)
    accuracy = Accuracy.of([_place(packets=10_000, size=1_000_000)], {})
    accuracy.add(_batch(_row(packets=100, size=10_000, rate=100)))
    found = _findings(
        counting=Counting.PACKETS, sampling=100, sees_pods=False, edges=_story(sampled), accuracy=accuracy, transfer=None
    )
    assert [check for check in checks(found) if not check.held] == []
    unstated = replace(found, edges=_story(Sampling(unsampled=2)))
    failed = [check.name for check in checks(unstated) if not check.held]
    assert failed == ["the database connection is shown, scaled, with its error"]


def test_where_whole_flows_are_left_out_only_names_and_the_ledger_can_be_asked() -> None:
    found = _findings(counting=Counting.FLOWS, sampling=10, visible_s=None, first_named_flow_s=None, edges=[])
    assert [check for check in checks(found) if not check.held] == []
    assert {check.name.partition(":")[0] for check in checks(found)} == {
        "frames that are not IP", "no name is wrong", "no name is missing", "ledger",
    }  # fmt: skip


def test_where_duplicates_are_dropped_pods_have_no_account_of_their_own() -> None:
    found = _findings(keeps_duplicates=False, accuracy=_accuracy(_place(packets=11)))
    assert [check for check in checks(found) if not check.held] == []
