# SPDX-License-Identifier: Apache-2.0
"""Names that came with the records (NetObserv's and Antrea's elements) are kept where we know nobody, and only there."""

from __future__ import annotations

import struct

import pytest

from enrich_kit import Cluster, Flow, batch, texts
from flowgauge.config.model import Enrichment
from flowgauge.enrich.stage import Enricher
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from wire_kit import VARIABLE, a_set, decode, message, template

KNOWN, UNKNOWN = "10.244.1.7", "10.9.0.1"


@pytest.fixture
def cluster() -> Cluster:
    found = Cluster()
    found.node("node-a", "zone-1", "192.168.50.11", "10.244.1.0/24")
    found.pod(found.replica_set("flow-demo", "django"), "django-5d8f-a", KNOWN)
    return found


def named(cluster: Cluster, *flows: Flow, enrichment: dict[str, object] | None = None, **columns: list[str]) -> FlowBatch:
    """Flows whose records carry these names."""
    given = {name: Names.from_strings(values) for name, values in columns.items()}
    return Enricher(cluster.index, Enrichment.model_validate(enrichment or {}))(batch(*flows).with_columns(given))


OTHER = {"src_namespace": ["team-b"], "src_name": ["api-1"], "src_node": ["node-x"]}


def of_source(found: FlowBatch, *names: str) -> list[str]:
    return [texts(found, f"src_{name}")[0] for name in names]


def test_where_nobody_is_known_the_record_names_the_end(cluster: Cluster) -> None:
    found = named(cluster, Flow(UNKNOWN, KNOWN), **OTHER)
    assert of_source(found, "namespace", "name", "kind", "node", "layer", "identity_source", "identity_confidence") == [
        "team-b", "api-1", "Pod", "node-x", "app", "record", "likely",
    ]  # fmt: skip
    assert texts(found, "dst_name") == ["django-5d8f-a"]


def test_what_kubernetes_tells_us_comes_first_and_whole(cluster: Cluster) -> None:
    found = named(cluster, Flow(KNOWN, UNKNOWN), **OTHER)
    assert of_source(found, "namespace", "name", "node", "zone", "identity_source") == [
        "flow-demo", "django-5d8f-a", "node-a", "zone-1", "watch",
    ]  # fmt: skip


def test_so_does_a_fixed_name_but_not_the_guess_by_a_pod_block(cluster: Cluster) -> None:
    fixed = {"names": [{"name": "mainframe", "addresses": [UNKNOWN]}]}
    assert of_source(named(cluster, Flow(UNKNOWN, KNOWN), enrichment=fixed, **OTHER), "name", "node") == ["mainframe", ""]
    guessed = named(cluster, Flow("10.244.1.99", KNOWN), **OTHER)
    assert of_source(guessed, "name", "node", "zone", "identity_source") == ["api-1", "node-x", "", "record"]


def test_a_record_that_names_nothing_changes_nothing(cluster: Cluster) -> None:
    found = named(cluster, Flow("10.244.1.99", KNOWN), src_namespace=[""], src_name=[""])
    assert of_source(found, "name", "node", "identity_source") == ["", "node-a", "subnet"]


def test_rows_are_judged_one_by_one(cluster: Cluster) -> None:
    flows = [Flow(UNKNOWN, KNOWN), Flow(KNOWN, UNKNOWN), Flow(UNKNOWN, KNOWN), Flow("203.0.113.1", KNOWN)]
    found = named(cluster, *flows, src_name=["a", "b", "", "d"], src_namespace=["x", "x", "", ""], src_kind=["", "", "", "VM"])
    assert texts(found, "src_name") == ["a", "django-5d8f-a", "", "d"]
    assert texts(found, "src_kind") == ["Pod", "Pod", "", "VM"]
    assert texts(found, "src_identity_source") == ["record", "watch", "none", "record"]


def test_a_service_of_the_record_stands_where_we_know_none_and_layers_follow_namespaces(cluster: Cluster) -> None:
    found = named(cluster, Flow(UNKNOWN, KNOWN), dst_service=["web"], src_name=["dns"], src_namespace=["kube-system"])
    assert (texts(found, "dst_service"), texts(found, "src_layer")) == (["web"], ["infra"])


def test_columns_that_we_do_not_fill_are_not_touched(cluster: Cluster) -> None:
    found = named(cluster, Flow(UNKNOWN, KNOWN), src_country=["DE"], src_process=["curl"])
    assert of_source(found, "country", "process", "identity_source") == ["DE", "curl", "none"]


@pytest.mark.parametrize(("pen", "first"), [(56506, 100), (32473, 7733), (4, 7733)])
def test_from_antreas_and_netobservs_elements_to_the_stored_columns(cluster: Cluster, pen: int, first: int) -> None:
    fields = [(8, 4), (12, 4), (2, 4), (first, VARIABLE, pen), (first + 1, VARIABLE, pen)]
    record = bytes((10, 9, 0, 1, 10, 244, 1, 7)) + struct.pack("!I", 1) + b"\x06team-b\x05api-1"
    flows = decode(message(a_set(2, template(256, fields)), a_set(256, record))).flows
    wire = {column: flows[column] for column in ("src_namespace", "src_name")}
    found = Enricher(cluster.index, Enrichment())(batch(Flow(UNKNOWN, KNOWN)).with_columns(wire))
    assert of_source(found, "namespace", "name", "kind") == ["team-b", "api-1", "Pod"]
