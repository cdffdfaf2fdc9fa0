# SPDX-License-Identifier: Apache-2.0
"""The story's scene without any observer: real Django on real PostgreSQL answers, objects and truth follow what happens."""

from __future__ import annotations

import http.client
import json
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agent_kit import until
from flowgauge.demo import database, waiting
from flowgauge.demo.acts.bulk import BULK_BYTES
from flowgauge.demo.acts.congestion import CONNECTIONS, DATAGRAMS, FRAMES, LINK, NODE
from flowgauge.demo.acts.payments import HOST
from flowgauge.demo.cluster import Cluster, Pod
from flowgauge.demo.entrance import Entrance
from flowgauge.demo.flow_demo import DATABASE_HOST, ROUTE_HOST, WEB, FlowDemo
from flowgauge.demo.objects.log import EventLog, present
from flowgauge.demo.scene import addresses, counters
from flowgauge.demo.scene.network import Network
from flowgauge.demo.scene.node_counters import counted
from flowgauge.demo.truth import TruthLog
from flowgauge.runtime import linux
from flowgauge.runtime.clock import now_ns

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.tool("ip", "nft", "nsenter", "setpriv", "dnsmasq", "initdb")]


class _Nobody:
    """Remembers who began and who ended."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []

    def begin(self, pods: Sequence[Pod]) -> None:
        self.began += [pod.name for pod in pods]

    def end(self, pod: Pod) -> None:
        self.ended.append(pod.name)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowDemo]:
    folder = tmp_path_factory.mktemp("story")
    folder.chmod(0o755)
    with Network() as network:
        network.up()
        cluster = Cluster(network, EventLog(folder / "objects.jsonl"), TruthLog(), folder)
        scene = FlowDemo(cluster, _Nobody())
        scene.database.prepare()
        scene.start()
        yield scene
        scene.end_load()


def _visit(story: FlowDemo, path: str, method: str = "GET", body: str = "", cookie: str = "") -> tuple[int, str]:
    connection = http.client.HTTPConnection(addresses.ROUTE, 80, timeout=60, source_address=(addresses.YOU, 0))
    with linux.in_netns(story.cluster.network.outside):
        connection.connect()
    headers = {"Host": ROUTE_HOST, **({"Cookie": cookie} if cookie else {})}
    if body:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection.request(method, path, body or None, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_the_page_answers_through_the_route_from_both_pods(story: FlowDemo) -> None:
    pages = [_visit(story, "/") for _ in range(20)]
    assert {status for status, _ in pages} == {200}
    for pod in story.pods.web:
        assert any(pod.name in text for _, text in pages)


def test_the_slow_query_runs_in_the_database(story: FlowDemo) -> None:
    status, text = _visit(story, "/slow")
    assert (status, "counted slowly" in text) == (200, True)


def test_the_database_answers_a_client_pod_by_its_service_name(story: FlowDemo) -> None:
    """The pod's own resolver finds the ClusterIP, the node translates it."""
    folder = database.programs()
    assert folder is not None
    pod, database_env = story.pods.neighbour, story.database.environment()
    resolv = story.cluster.resolv_conf
    script = f'mount --bind {resolv} /etc/resolv.conf; exec "$@"'
    psql = [str(folder / "psql"), "-h", DATABASE_HOST, "-U", "user", "-d", "sampledb", "-Atc", "select current_user"]
    done = subprocess.run(
        ["nsenter", f"--net=/run/netns/{pod.place.netns}", "unshare", "--mount", "sh", "-ec", script, "sh", *psql],
        env={"PGPASSWORD": database_env["DATABASE_PASSWORD"], "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "user", done.stderr


def test_the_users_own_click_enters_as_an_outside_client(story: FlowDemo) -> None:
    """A plain connection to a port on loopback; the pod sees the address that stands for the user."""
    entrance = Entrance(story.cluster.network.outside)
    entrance.start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{entrance.port}/", timeout=60) as answer:
            assert "flow-demo" in answer.read().decode()
    finally:
        entrance.stop()
    logs = "".join((story.cluster.log_dir / f"{pod.name}.log").read_text() for pod in story.pods.web)
    assert f"{addresses.YOU} - - " in logs


def test_the_load_adds_entries(story: FlowDemo) -> None:
    story.start_load()
    until(lambda: "Order " in _visit(story, "/")[1], "an entry on the page")


def test_a_hundred_megabytes_pass_as_super_packets(story: FlowDemo) -> None:
    sender, _ = story.acts.bulk.pods
    before = sender.place.traffic()
    transfer = story.acts.bulk.play()
    frames = sender.place.traffic().since(before).rx_packets
    assert transfer.received_bytes == BULK_BYTES
    assert transfer.sent_bytes >= BULK_BYTES
    assert transfer.segments.new >= BULK_BYTES / 1448
    assert frames < transfer.segments.new / 4, "offloads are on: a frame carries many segments"


def test_payments_go_by_both_versions_of_tls_and_over_quic_and_both_ends_say_the_same(story: FlowDemo) -> None:
    """Without waiting: the first call starts the gateway, a later one the checkout."""
    pytest.importorskip("aioquic")
    payments = story.acts.payments

    def done() -> bool:
        payments.go_on()
        return any(one.quic for one in payments.said().client)

    until(done, "a payment over QUIC")
    payments.end()
    said = payments.said()
    by_client = {one.client: one for one in said.client}
    assert {(one.proto, one.version, one.alpn) for one in said.client} == {
        ("tcp", "TLSv1.3", "http/1.1"), ("tcp", "TLSv1.2", "http/1.1"), ("udp", "TLSv1.3", "h3"),
    }  # fmt: skip
    assert len(by_client) == len(said.client), "each connection has a port of its own"
    assert by_client.items() <= {one.client: one for one in said.server}.items()
    assert {one.sni for one in said.client} == {HOST}
    assert said.due == {"tcp", "udp"}


def test_a_probe_is_told_of_every_kind_of_error_and_so_was_its_kernel(story: FlowDemo) -> None:
    netns = story.acts.path_probes.pods[0].place.netns
    before = counters.counted(netns).icmp
    probed = story.acts.path_probes.play()
    received = counters.counted(netns).icmp
    assert set(probed.errors) == {"ttl exceeded", "port unreachable", "fragmentation needed"}
    assert all(probed.errors.values()), probed.errors
    assert received.exceeded - before.exceeded == probed.errors["ttl exceeded"]
    both = probed.errors["port unreachable"] + probed.errors["fragmentation needed"]
    assert received.unreachable - before.unreachable == both


def test_datagrams_and_their_echo_go_through_the_tunnel_of_each_kind_that_this_kernel_has(story: FlowDemo) -> None:
    pods = story.acts.tunnels.pods
    before = [pod.place.traffic() for pod in pods]
    told = story.acts.tunnels.play()
    assert {tunnel.kind for tunnel in told.tunnels} | {*told.missing} == {"vxlan", "geneve", "gre", "ipip"}
    for tunnel in told.tunnels:
        assert [one.packets for one in tunnel.carried.values()] == [50, 50], tunnel
    passed = [pod.place.traffic().since(start).packets for pod, start in zip(pods, before, strict=True)]
    beside = [frames - 50 * len(told.tunnels) for frames in passed]
    assert all(0 <= frames <= 8 for frames in beside), "nothing but questions for the neighbour's address (ARP)"


def test_a_congested_node_drops_frames_datagrams_and_connections_and_no_pods_link_notices(story: FlowDemo) -> None:
    node = story.cluster.network.nodes[NODE]
    before = counted(node)
    story.acts.congestion.play()
    after = counted(node)
    assert after.devices[LINK].since(before.devices[LINK]).not_sent == FRAMES
    overflows = {name: count - before.overflows[name] for name, count in after.overflows.items()}
    assert 0 < overflows["udp_receive_overflows"] < DATAGRAMS
    assert 0 < overflows["listen_overflows"] < CONNECTIONS
    for pod in story.acts.bulk.pods:
        assert after.devices[pod.place.device].dropped == before.devices[pod.place.device].dropped


def test_a_short_conversation_has_as_many_packets_as_its_link_passed_on(story: FlowDemo) -> None:
    client, _ = story.acts.bulk.pods
    before = client.place.traffic()
    talk = story.acts.talk.play()
    frames = client.place.traffic().since(before).packets
    assert talk.client is client
    assert 2 * 20 < talk.packets <= frames <= talk.packets + 6, "beside it only ARP"


def test_a_pod_is_replaced_and_another_gets_its_address(story: FlowDemo) -> None:
    old = story.pods.web[-1]
    before = now_ns()
    successor = story.replace_web_pod()
    assert successor.address == old.address
    assert story.pods.web[-1].name != old.name
    assert _visit(story, "/")[0] == 200
    truth = story.cluster.truth
    holders = [truth.holder(old.address, time_ns) for time_ns in (before, now_ns())]
    assert [holder.name for holder in holders if holder] == [old.name, successor.name]
    assert truth.reused() == [old.address]
    witness = story._witness
    assert isinstance(witness, _Nobody)
    assert witness.ended == [old.name]
    assert {pod.name for pod in story.cluster.pods} | {old.name} == set(witness.began)


def test_the_event_log_tells_what_happened(story: FlowDemo) -> None:
    log: Path = story.cluster._events.path
    events = [json.loads(line) for line in log.read_text().splitlines()]
    kinds = {event["object"]["kind"] for event in events}
    assert kinds >= {
        "Node", "Namespace", "Pod", "ReplicaSet", "Deployment", "DaemonSet", "Service", "EndpointSlice", "Route", "Secret",
        "PersistentVolumeClaim",
    }  # fmt: skip
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    assert sum(event["type"] == "DELETED" for event in events) == 1
    assert not any("data" in event["object"] for event in events if event["object"]["kind"] == "Secret")
    now = {(thing["kind"], thing["metadata"]["name"]): thing for thing in present(log)}
    slices = [thing for (kind, _), thing in now.items() if kind == "EndpointSlice" and WEB in thing["metadata"]["name"]]
    assert {end["targetRef"]["name"] for end in slices[0]["endpoints"]} == {pod.name for pod in story.pods.web}


def test_everything_falls_silent_at_the_end(story: FlowDemo) -> None:
    story.end_load()
    assert waiting.quiet(story.cluster.pods, for_s=1.5, within_s=60)
