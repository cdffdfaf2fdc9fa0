# SPDX-License-Identifier: Apache-2.0
"""The story: Django with PostgreSQL in ``flow-demo``, the cluster's DNS, a neighbour nobody expected, and a pod replaced.

``place`` makes objects and pods, ``start`` the programs in them, ``replace_web_pod`` what happens half-way, ``end_load`` the
last packets. No program runs in a pod before ``Witness.begin`` has returned for it, so that whoever counts sees its first
packet. Stands on ``cluster``; used by one thread, whose end ends every program.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flowgauge.demo import containers
from flowgauge.demo.acts.programme import Programme
from flowgauge.demo.cluster import Cluster, Pod, Workload
from flowgauge.demo.database import PORT as DATABASE_PORT
from flowgauge.demo.database import Database
from flowgauge.demo.objects import networking
from flowgauge.demo.probes import NodeProbes, healthy
from flowgauge.demo.scene import addresses, processes
from flowgauge.demo.scene.processes import Process
from flowgauge.demo.waiting import quiet, until
from flowgauge.runtime.clock import now_ns

SPACE = "flow-demo"
WEB, DATABASE, DNS = "django-psql-example", "postgresql", "dns-default"
DATABASE_HOST = f"{DATABASE}.{SPACE}.svc"
ROUTE_DOMAIN = "apps.localhost"
ROUTE_HOST = f"{WEB}-{SPACE}.{ROUTE_DOMAIN}"

_WEB_IP, _DATABASE_IP, _DNS_IP = "10.96.80.80", "10.96.54.32", "10.96.0.10"
_GRACE_S = 1.0
"""How long requests that are on their way to a pod may take before it is told to end."""


class Witness(Protocol):
    """Whoever must see every packet of a pod."""

    def begin(self, pods: Sequence[Pod]) -> None:
        """Returns when the pods are observed; no packet has been sent yet."""

    def end(self, pod: Pod) -> None:
        """The pod is quiet and is about to go."""


@dataclass(slots=True)
class Pods:
    """The pods of the story, without those of its acts."""

    dns: list[Pod]
    web: list[Pod]
    database: Pod
    neighbour: Pod

    @property
    def all(self) -> list[Pod]:
        """All of them."""
        return [*self.dns, *self.web, self.database, self.neighbour]


class FlowDemo:
    """The story on a cluster.

    Args:
        cluster: empty, its network up.
        witness: sees each pod before it speaks and after it fell silent.

    Attributes:
        pods: as they are now.
        acts: what happens beside, each with a truth of its own.
        database: its ``prepare`` comes before ``start``.
        probes: the nodes' health probes.
    """

    def __init__(self, cluster: Cluster, witness: Witness) -> None:
        self.cluster, self._witness = cluster, witness
        self.probes = NodeProbes()
        self._key = containers.new_key()
        self._web, self.pods = self._place()
        self.acts = Programme.placed(cluster)
        self.database = Database(cluster.network.folder / "postgresql", self.pods.database.address)
        self._load: Process | None = None

    def start(self) -> None:
        """Starts every server and waits until the web pods answer; ``database.prepare`` must be done.

        Raises:
            EnvironmentProblem: a program ended or was not ready in time; the message holds its last words.
        """
        pods = self.pods
        self._witness.begin([*pods.all, *self.acts.pods])
        names = {f"{DATABASE}.{SPACE}": _DATABASE_IP, f"{WEB}.{SPACE}": _WEB_IP, **self.acts.payments.names}
        for pod in pods.dns:
            self.cluster.run(pod, containers.dns(pod.address, names))
        self.cluster.run(pods.database, self.database.server())
        for pod in pods.web:
            self._run_web(pod)
        for pod in pods.web:
            _await_healthy(pod)
        self.cluster.run(pods.neighbour, containers.stock_report(DATABASE_HOST, self.database.environment()))
        for pod in pods.web:
            self.probes.add(pod)
        self.probes.start()

    def start_load(self) -> None:
        """Starts the outside client."""
        self._load = processes.start(
            self.cluster.network.journal,
            containers.load(addresses.ROUTE, ROUTE_HOST, addresses.CLIENT),
            self.cluster.log_dir / "outside-client.log",
            netns=self.cluster.network.outside,
        )

    def replace_web_pod(self) -> Pod:
        """Replaces one web pod as a Deployment does, and gives its address to a pod of another namespace; returns that."""
        old = self.pods.web[-1]
        new = self.cluster.pod(self._web, old.place.node.name)
        self._witness.begin([new])
        self._run_web(new)
        _await_healthy(new)
        self.pods.web[-1] = new
        self.probes.add(new)
        self.cluster.endpoints(WEB, self.pods.web)
        self.probes.take_away(old)
        time.sleep(_GRACE_S)
        self.retire(old)
        importer = self.cluster.deployment("other-team", "batch-import", [])
        successor = self.cluster.pod(importer, old.place.node.name, address=old.address)
        self._witness.begin([successor])
        self.cluster.run(successor, containers.batch_import(DATABASE_HOST))
        return successor

    def retire(self, pod: Pod) -> None:
        """Ends a pod's programs, waits until its link is quiet, and removes it."""
        for process in pod.processes:
            process.stop()
        quiet([pod])
        self._witness.end(pod)
        self.cluster.remove(pod)

    def end_load(self) -> None:
        """Ends all that begins conversations and returns when no packet is under way; servers still run. Safe to call twice."""
        self.probes.stop()
        if self._load is not None:
            self._load.stop()
        self.acts.payments.end()
        for sidecar in (process for pod in self.pods.web for process in pod.processes[:1]):
            sidecar.stop()
        for pod in self.cluster.pods:
            if pod.workload.namespace == "other-team":
                for process in pod.processes:
                    process.stop()
        quiet(self.cluster.pods)

    def _run_web(self, pod: Pod) -> None:
        """The sidecar is the pod's first program."""
        program = containers.web(
            pod.address,
            self.database.environment(),
            database_host=DATABASE_HOST,
            pod=pod.name,
            node=pod.place.node.name,
            key=self._key,
        )
        self.cluster.run(pod, containers.sidecar())
        self.cluster.run(pod, program)

    def _place(self) -> tuple[Workload, Pods]:
        """Makes objects and pods; the workload is the one that gets another pod later."""
        cluster = self.cluster
        cluster.resolv_conf = _resolv_conf(cluster.network.folder)
        for space in (SPACE, "openshift-dns", "other-team"):
            cluster.namespace(space)
        dns = self._dns()
        database = cluster.deployment(SPACE, DATABASE, [(DATABASE, DATABASE_PORT, "TCP")], part_of=SPACE)
        web = cluster.deployment(SPACE, WEB, [("web", containers.WEB_PORT, "TCP")], replicas=2, part_of=SPACE)
        pods = Pods(
            dns=dns,
            web=[cluster.pod(web, "node-a"), cluster.pod(web, "node-b")],
            database=cluster.pod(database, "node-c"),
            neighbour=cluster.pod(cluster.deployment("other-team", "stock-report", []), "node-c"),
        )
        for name in (DATABASE, WEB):
            cluster.put(networking.secret(SPACE, name, now_ns()))
        cluster.put(networking.volume_claim(SPACE, DATABASE, "1Gi", now_ns()))
        port = (DATABASE, DATABASE_PORT, DATABASE_PORT, "TCP")
        cluster.service(database, [pods.database], address=_DATABASE_IP, ports=[port])
        port = ("web", containers.WEB_PORT, containers.WEB_PORT, "TCP")
        service = cluster.service(web, pods.web, address=_WEB_IP, ports=[port])
        cluster.route(service, ROUTE_HOST, addresses.ROUTE, 80)
        return web, pods

    def _dns(self) -> list[Pod]:
        port = ("dns", containers.DNS_PORT, containers.DNS_PORT, "UDP")
        daemons = self.cluster.daemon_set("openshift-dns", DNS, [port[:1] + port[2:]])
        pods = [self.cluster.pod(daemons, node) for node in self.cluster.network.nodes]
        self.cluster.service(daemons, pods, address=_DNS_IP, ports=[port])
        return pods


def _resolv_conf(folder: Path) -> Path:
    path = folder / "resolv.conf"
    path.write_text(f"nameserver {_DNS_IP}\noptions timeout:1 attempts:5\n", encoding="utf-8")
    path.chmod(0o644)
    return path


def _await_healthy(pod: Pod) -> None:
    until(lambda: healthy(pod), pod)
