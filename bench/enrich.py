# SPDX-License-Identifier: Apache-2.0
"""What putting names on a flow costs, against the least that any way of doing it must do.

The floor is finding the distinct addresses of the batch (``flow.addresses.unique``), without which every row would be looked
up. The ratio says what holders, times, Services, labels and sixteen columns for each end add; it holds over machines better
than rows/s. One thread, minimum of interleaved rounds. Three batches: addresses with one holder, half of them with several
holders within the batch's time, and a small batch in which almost every row has an address of its own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from flowgauge.config.model import Enrichment
from flowgauge.enrich.kubernetes import KubernetesIndex
from flowgauge.enrich.stage import Enricher
from flowgauge.flow import addresses
from flowgauge.flow.batch import FlowBatch
from flowgauge.k8s.changes import Change, ChangeKind
from flowgauge.k8s.objects import Endpoint, EndpointSlice, KubernetesObject, Meta, Node, Owner, Plain, Pod, Port, Service

NODES, PODS, PODS_OF_A_WORKLOAD, OUTSIDE = 300, 20_000, 8, 5_000
NOW_MS = 1_766_059_200_000
PORT = 8080


class Cluster:
    """A middling cluster; every workload has a Service. ``reused``: each second pod address had two holders before."""

    def __init__(self, *, reused: bool) -> None:
        self.index = KubernetesIndex()
        for number in range(NODES):
            labels = {"topology.kubernetes.io/zone": f"zone-{number % 3}"}
            self._put(
                Node(
                    Meta("Node", "", f"node-{number}", f"n{number}", labels=labels),
                    (f"192.168.{number // 250}.{number % 250}",),
                )
            )
        for number in range(PODS // PODS_OF_A_WORKLOAD):
            self._workload(number, reused=reused)

    def _put(self, thing: KubernetesObject, ago_ms: int = 3_600_000, kind: ChangeKind = ChangeKind.ADDED) -> None:
        self.index.apply(Change(kind, NOW_MS - ago_ms, thing))

    def _workload(self, number: int, *, reused: bool) -> None:
        space, name = f"namespace-{number % 200}", f"workload-{number}"
        owner = Owner("ReplicaSet", f"{name}-5d8f", f"r{number}")
        self._put(Plain(Meta("ReplicaSet", space, owner.name, owner.uid, owner=Owner("Deployment", name, f"d{number}"))))
        self._put(Service(Meta("Service", space, name, f"s{number}"), (vip(number),), (), {}, (Port("http", 80, 6, PORT),)))
        first = number * PODS_OF_A_WORKLOAD
        pods = [
            self._pod(space, pod, owner, reused=reused and pod % 2 == 0) for pod in range(first, first + PODS_OF_A_WORKLOAD)
        ]
        endpoints = tuple(Endpoint(pod.addresses, pod.meta.uid) for pod in pods)
        self._put(
            EndpointSlice(Meta("EndpointSlice", space, f"{name}-x", f"e{number}"), name, endpoints, (Port("http", PORT, 6),))
        )

    def _pod(self, space: str, number: int, owner: Owner, *, reused: bool) -> Pod:
        labels = {"app": owner.name, "pod-template-hash": "5d8f"}
        for life, (ago_ms, until_ms) in enumerate([(9_000, 3_000), (3_000, 1_500), (1_500, 0)] if reused else [(3_600_000, 0)]):
            meta = Meta("Pod", space, f"{owner.name}-{number}-{life}", f"p{number}-{life}", labels=labels, owner=owner)
            pod = Pod(meta, (pod_address(number),), node=f"node-{number % NODES}")
            self._put(pod, ago_ms)
            if until_ms:
                self._put(pod, until_ms, ChangeKind.DELETED)
        return pod


def pod_address(number: int) -> str:
    """The address of a pod."""
    return f"10.{128 + number // 65_536}.{number // 256 % 256}.{number % 256}"


def vip(number: int) -> str:
    """The address of a Service."""
    return f"172.30.{number // 256}.{number % 256}"


def flows(rows: int, random: np.random.Generator) -> FlowBatch:
    """Flows of the last 5 s: pods to Services (translated), pods to pods and back, pods and the outside world."""
    pods = addresses.from_texts(map(pod_address, range(PODS)))
    services = addresses.from_texts(map(vip, range(PODS // PODS_OF_A_WORKLOAD)))
    outside = addresses.from_ipv4(random.integers(0, 256, (OUTSIDE, 4)).astype(np.uint8))
    client, server = (np.minimum(random.zipf(1.3, rows), PODS * 9) * 7 % PODS for _ in range(2))
    kind = random.integers(0, 4, rows)
    src, dst = pods[client], pods[server].copy()
    dst[kind == 0] = services[server[kind == 0] // PODS_OF_A_WORKLOAD]
    dst[kind == 3] = outside[random.integers(0, OUTSIDE, int((kind == 3).sum()))]
    to_service = (kind == 0)[:, None]
    ephemeral = random.integers(32_768, 60_999, rows).astype(np.uint16)
    reply = kind == 2
    return FlowBatch({
        "time_end_ms": NOW_MS - random.integers(0, 5_000, rows),
        "duration_ms": random.integers(0, 5_000, rows).astype(np.uint32),
        "src_addr": src,
        "dst_addr": dst,
        "src_port": np.where(reply, PORT, ephemeral).astype(np.uint16),
        "dst_port": np.where(reply, ephemeral, np.where(kind == 0, 80, PORT)).astype(np.uint16),
        "proto": np.full(rows, 6, np.uint8),
        "post_nat_dst_addr": np.where(to_service, pods[server], 0).astype(np.uint8),
        "post_nat_dst_port": np.where(kind == 0, PORT, 0).astype(np.uint16),
    })  # fmt: skip


def best_s(rounds: int, *work: Callable[[], object]) -> list[float]:
    """The shortest time of each, in interleaved rounds."""
    best = [float("inf")] * len(work)
    for _ in range(rounds):
        for number, one in enumerate(work):
            start = time.perf_counter()
            one()
            best[number] = min(best[number], time.perf_counter() - start)
    return best


def measure(name: str, cluster: Cluster, batch: FlowBatch, rounds: int) -> None:
    """Prints a line."""
    enrich = Enricher(cluster.index, Enrichment())
    enrich(batch)
    translated = batch.array("post_nat_dst_addr")
    both = np.concatenate([batch.array("src_addr"), batch.array("dst_addr"), translated[translated.any(axis=1)]])
    took, floor = best_s(rounds, lambda: enrich(batch), lambda: addresses.unique(both))
    distinct, millions = len(addresses.unique(both)[0]), len(batch) / took / 1e6
    print(
        f"{name:17} {len(batch):7} rows {distinct:6} addresses {millions:5.2f} M rows/s {took / floor:6.2f} × finding addresses"
    )


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    random = np.random.default_rng(1)
    batch = flows(options.rows, random)
    settled, reused = Cluster(reused=False), Cluster(reused=True)
    measure("one holder each", settled, batch, options.rounds)
    measure("reused addresses", reused, batch, options.rounds)
    measure("small batch", settled, batch.take(np.arange(2_000)), options.rounds * 5)


if __name__ == "__main__":
    main()
