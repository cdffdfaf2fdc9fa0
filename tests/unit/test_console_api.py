# SPDX-License-Identifier: Apache-2.0
"""The API over real HTTP, before a real store with real rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from console_kit import Console, running_console
from flowgauge.console.settings import ConsoleSettings
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.columns import COLUMNS
from flowgauge.store.secret import reader_key
from flowgauge.store.store import KERNEL, LedgerRow
from store_kit import flows, named, now_ms, running_store

API = "/api/v1"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console over a store with Django → postgresql and back, one neighbour, sampled traffic of another namespace."""
    with running_store(tmp_path_factory.mktemp("store")) as process:
        store = process.open()
        there = named(flows("flow-demo", 4, owners=("django",), bytes=100, flow_direction=2), dst_namespace="flow-demo")
        back = named(
            flows("flow-demo", 4, owners=("postgresql",), src_port=5432, dst_port=40000, bytes=900),
            dst_namespace="flow-demo", dst_owner="django",
        )  # fmt: skip
        probe = named(flows("other-team", 1, owners=("probe",), bytes=60), dst_namespace="flow-demo")
        sampled = named(flows("sampled", 3, owners=("big",), sampling_rate=100, packets=50, bytes=1000), dst_owner="")
        twice = flows("flow-demo", 2, owners=("django",), duplicate_of=1)
        store.write(FlowBatch.concat([there, back, probe, sampled, twice]), "rows")
        started = now_ms() - 60_000
        counters = {"export_records_sent": 14, "store_rows_written": 12, "sequence_gap_records": 2, "invented_tomorrow": 1}
        store.write_ledger([LedgerRow(now_ms(), "collector", f"c@{started}", name, value) for name, value in counters.items()])
        for udp in (7, 10):
            kernel = {"conntrack_entries": 5, "conntrack_entries_max": 10, "udp_receive_overflows": udp}
            store.write_ledger([LedgerRow(now_ms(), KERNEL, "node-a", name, value) for name, value in kernel.items()])
        with running_console(ConsoleSettings(process.url, reader_key(process.secret), cluster="demo")) as running:
            yield running


def test_flows_are_rows_with_their_count_and_completeness(console: Console) -> None:
    answer = console.api("flows", filter="namespace = flow-demo and port = postgresql", limit=3).json
    assert (len(answer["rows"]), answer["matched"]) == (3, 9)
    assert answer["rows"][0]["dst_owner"] in ("postgresql", "django")
    assert answer["completeness"]["percent"] == pytest.approx(100 * 12 / 14)
    assert answer["window"]["to_ms"] - answer["window"]["from_ms"] == 15 * 60 * 1000


def test_columns_and_duplicates_are_as_asked(console: Console) -> None:
    answer = console.api("flows", filter="src_owner = django", columns="src_owner,bytes", duplicates="true").json
    assert answer["matched"] == 6
    assert all(list(row) == ["src_owner", "bytes"] for row in answer["rows"])


def test_groups_sum_up_to_the_total(console: Console) -> None:
    answer = console.api("groups", by="src_namespace", measures="bytes,flows", top=1, order="flows").json
    assert answer["rows"] == [{"src_namespace": "flow-demo", "bytes": 4000, "flows": 8, "approx": False}]
    assert answer["group_count"] == 3
    for measure in ("bytes", "flows"):
        assert answer["rows"][0][measure] + answer["others"][measure] == answer["total"][measure]


def test_scaled_sums_say_so_and_how_exact_they_are(console: Console) -> None:
    answer = console.api("groups", by="src_owner", filter="namespace = sampled").json
    (row,) = answer["rows"]
    assert (row["bytes"], row["packets"], row["approx"]) == (300_000, 15_000, True)
    assert 0 < row["error"]["packets"] < 0.2
    assert row["error"]["flows"] is None
    assert "estimates" in answer["sampling"]


def test_a_series_holds_the_groups_total_in_its_bins(console: Console) -> None:
    answer = console.api("series", by="src_namespace", measure="bytes", since="10m").json
    sums = {line["key"].get("src_namespace"): sum(line["values"]) for line in answer["series"]}
    assert sums["flow-demo"] == pytest.approx(4000)
    assert len(answer["times_ms"]) == len(answer["others"]) == len(answer["series"][0]["values"])
    assert answer["step_ms"] == 5000


def test_a_mean_is_not_there_where_nothing_has_one(console: Console) -> None:
    answer = console.api("series", by="", measure="rtt_avg_ns", since="2m").json
    assert set(answer["series"][0]["values"]) == {None}
    assert set(console.api("series", by="", measure="drop_packets", since="2m").json["series"][0]["values"]) == {0}


def test_the_map_has_edges_between_its_nodes(console: Console) -> None:
    answer = console.api("topology", filter="namespace = flow-demo", top=1).json
    (edge,) = answer["edges"]
    assert {edge["src"], edge["dst"]} == {node["id"] for node in answer["nodes"]}
    assert (edge["dst_port"], edge["bytes"], edge["bytes_to_server"]) == (5432, 4000, 400)
    assert (answer["edge_count"], answer["others"]["flows"]) == (2, 1)


def test_the_ledger_names_every_counter(console: Console) -> None:
    answer = console.api("ledger").json
    (part,) = answer["components"]
    counters = {counter["name"]: counter for counter in part["counters"]}
    assert (part["component"], counters["sequence_gap_records"]["change"]) == ("collector", 2)
    assert counters["sequence_gap_records"]["side"] == "lost"
    assert counters["invented_tomorrow"]["help"] == ""
    assert answer["completeness"]["lost"] == 2


def test_what_kernels_count_is_told_by_node_and_is_no_part_of_the_ledger(console: Console) -> None:
    (node,) = console.api("nodes").json["nodes"]
    assert (node["node"], node["conntrack_entries"], node["conntrack_entries_max"]) == ("node-a", 5, 10)
    assert node["counters"]["udp_receive_overflows"] == 3
    (sign,) = node["signs"]
    assert (sign["words"], sign["count"], sign["device"]) == ("3 datagrams found a socket's receive buffer full", 3, "")
    assert 0 < sign["last_ms"] <= node["told_ms"]


def test_a_filter_is_checked_and_taken_apart(console: Console) -> None:
    answer = console.api("filter", text="Port = 80  AND (proto=tcp or owner = x) and not name ~ a").json
    assert answer["canonical"] == "port = 80 and (proto = tcp or owner = x) and not name ~ a"
    assert [chip["text"] for chip in answer["chips"]] == ["port = 80", "proto = tcp or owner = x", "not name ~ a"]
    assert [chip["without"] for chip in answer["chips"]] == [
        "(proto = tcp or owner = x) and not name ~ a", "port = 80 and not name ~ a", "port = 80 and (proto = tcp or owner = x)",
    ]  # fmt: skip
    assert console.api("filter", text="port = 80").json["chips"] == [{"text": "port = 80", "without": ""}]
    assert console.api("filter").json == {"ok": True, "error": None, "canonical": "", "chips": []}


def test_a_wrong_filter_is_pointed_at_by_the_check_and_refused_elsewhere(console: Console) -> None:
    expected = {"message": "there is no field 'nmspace'", "at": 0, "length": 7, "suggestion": "namespace"}
    checked = console.api("filter", text="nmspace = a")
    assert (checked.status, checked.json["ok"], checked.json["error"]) == (200, False, expected)
    for route in ("flows", "groups", "series", "topology", "live"):
        refused = console.api(route, filter="nmspace = a")
        assert (refused.status, refused.problem) == (400, expected)


def test_values_are_completed_with_their_share(console: Console) -> None:
    offers = console.api("complete", text="namespace = ").json
    assert offers[0]["label"] == "sampled"
    shares = {offer["label"]: offer["share"] for offer in offers}
    assert shares["flow-demo"] == pytest.approx(4060 / 304_060)
    fields = console.api("complete", text="na and port = 80", cursor=2).json
    assert (fields[0]["insert"], fields[0]["at"], fields[0]["length"]) == ("namespace", 0, 2)


def test_a_value_at_both_ends_counts_once(console: Console) -> None:
    (offer,) = console.api("complete", text="owner = djan").json
    assert offer["share"] == pytest.approx(4000 / 304_060)


def test_columns_lists_the_registry_and_the_filters_names(console: Console) -> None:
    answer = console.api("columns").json
    assert [column["name"] for column in answer["columns"]] == [column.name for column in COLUMNS]
    assert {"namespace", "src_pod", "bytes"} <= {field["name"] for field in answer["fields"]}
    assert "bytes" in answer["measures"]


def test_status_tells_of_store_and_cluster(console: Console) -> None:
    answer = console.api("status").json
    assert (answer["cluster"], answer["store"]["rows"]) == ("demo", 14)
    assert "without a collector" in answer["collector"]["problem"]
    assert not answer["collector"]["silent"]
    assert console.ask("/readyz").text == "ready\n"
    assert console.ask("/metrics").status == 200


@pytest.mark.parametrize(
    ("path", "params", "words"),
    [
        ("flows", {"columns": "owner"}, "no column 'owner'"),
        ("flows", {"limit": 0}, "limit"),
        ("flows", {"limit": 10_001}, "limit"),
        ("flows", {"since": "soon"}, "no duration"),
        ("flows", {"from_": 5, "to": 5}, "ends before it begins"),
        ("flows", {"since": "9999d"}, "longer than"),
        ("flows", {"from_": "noon"}, "from"),
        ("flows", {"filter": "src_region = x"}, "not stored here"),
        ("flows", {"filter": "a" * 5000}, "filter"),
        ("flows", {"filter": "time_end_ns > \u00b2"}, "no time"),
        ("groups", {"by": "src_region"}, "not stored here"),
        ("groups", {"measures": "joules"}, "joules"),
        ("groups", {"order": "joules"}, "ordered by"),
        ("series", {"step_ms": 1, "since": "1h"}, "too many"),
        ("topology", {"order": "rtt_avg_ns"}, "ordered by"),
        ("live", {}, "without a collector"),
        ("exporters", {}, "without a collector"),
    ],
)
def test_a_wrong_question_gets_one_sentence(console: Console, path: str, params: dict[str, object], words: str) -> None:
    reply = console.api(path, **params)
    assert reply.status == (503 if path in ("live", "exporters") else 400)
    assert words in reply.problem["message"]


def test_unknown_paths_are_told_apart_from_pages(console: Console) -> None:
    assert console.ask("/api/v1/nonsense").status == 404
    assert "openapi.json" in console.ask("/api/v1/nonsense").problem["message"]
    assert console.ask("/assets/nonsense.js").status == 404
    assert console.ask("/../../../../etc/passwd").status in (200, 503)
    for name in ("/a%00b", "/assets/%00.js", f"/{'a' * 300}", f"/assets/{'a' * 5000}.js"):
        assert console.ask(name).status in (200, 404, 503), name
    assert "root:" not in console.ask("/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd").text


def test_the_api_describes_itself(console: Console) -> None:
    document = console.ask("/api/openapi.json").json
    routes = {path for path in document["paths"] if path.startswith(API)}
    assert routes == {
        f"{API}/{name}" for name in
        ("status", "flows", "flows.arrow", "groups", "series", "topology", "filter", "complete", "columns", "ledger", "live",
         "exporters", "nodes", "nodes/history", "datasets", "troubles", "capture", "capture/nodes", "capture/freeze")
    }  # fmt: skip
    for path in routes:
        (described,) = document["paths"][path].values()
        assert described["description"]
        assert all(parameter.get("description") for parameter in described.get("parameters", [])), path


def test_the_page_says_how_to_build_it_when_it_is_not_built(tmp_path: Path) -> None:
    settings = ConsoleSettings("http://127.0.0.1:1", "", static_dir=str(tmp_path))
    with running_console(settings) as bare:
        reply = bare.ask("/traffic")
        assert reply.status == 503
        assert "make ui" in reply.text
        (tmp_path / "index.html").write_text("<p>page</p>")
        (tmp_path / "assets").mkdir()
        (tmp_path / "assets" / "a-1234.js").write_text("1")
        assert bare.ask("/traffic").text == "<p>page</p>"
        assert bare.ask("/").headers["Cache-Control"] == "no-cache"
        script = bare.ask("/assets/a-1234.js")
        assert "immutable" in script.headers["Cache-Control"]
        assert script.headers["Content-Type"].startswith("text/javascript")


@pytest.mark.slow
def test_a_store_that_is_gone_is_a_503_with_a_sentence_and_comes_back(tmp_path: Path) -> None:
    with running_store(tmp_path / "store") as process:
        process.open().write(flows("gone", 2), "rows")
        with running_console(ConsoleSettings(process.url, process.secret)) as console:
            assert console.api("flows").json["matched"] == 2
            process.kill()
            for path in ("flows", "groups", "topology", "ledger"):
                reply = console.api(path)
                assert reply.status == 503
                assert "store" in reply.problem["message"]
            assert console.ask("/readyz").status == 503
            assert console.ask("/healthz").status == 200
            assert console.api("status").json["store"]["answers"] is False
            assert console.api("complete", text="namespace = ").json == []
            process.start()
            assert console.api("flows").json["matched"] == 2
