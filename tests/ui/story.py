# SPDX-License-Identifier: Apache-2.0
"""The flows of the demo's story as a normalised, named batch: who talks to whom in and around flow-demo, each 5 s."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch, absent_column, definition
from flowgauge.flow.names import Names
from flowgauge.schema import enums

EXPORT_MS = 5_000
"""How often a running flow is reported."""

_APP, _INFRA = enums.LAYER.index("app"), enums.LAYER.index("infra")


@dataclass(frozen=True)
class Who:
    """One end of a flow, with the physical columns that name it (without ``src_``/``dst_``)."""

    addr: str
    names: dict[str, str] = field(default_factory=dict)
    layer: int = 0


def pod(namespace: str, owner: str, name: str, addr: str, node: str, *, kind: str = "Deployment", layer: int = _APP) -> Who:
    """A pod of a workload."""
    zone = "zone-2" if node == "node-c" else "zone-1"
    names = {
        "namespace": namespace,
        "name": name,
        "kind": "Pod",
        "owner": owner,
        "owner_kind": kind,
        "node": node,
        "zone": zone,
    }
    return Who(addr, names, layer)


OUTSIDE = Who("203.0.113.10", {"subnet": "EXT:office"})
DJANGO_A = pod("flow-demo", "django-psql-example", "django-psql-example-6d4f9c7b5-x2x7p", "10.128.0.11", "node-a")
DJANGO_B = pod("flow-demo", "django-psql-example", "django-psql-example-6d4f9c7b5-8kq9w", "10.128.1.12", "node-b")
POSTGRES = pod("flow-demo", "postgresql", "postgresql-7f9d5c6b8-4mn2z", "10.128.2.13", "node-c")
DNS = pod("openshift-dns", "dns-default", "dns-default-r5t2v", "10.128.1.5", "node-b", kind="DaemonSet", layer=_INFRA)
PROBE = pod("other-team", "batch-import", "batch-import-5b8c9d7f4-zz7qk", "10.128.1.44", "node-b")
NODE_A = Who("192.168.50.11", {"name": "node-a", "kind": "Node", "node": "node-a", "zone": "zone-1"}, _INFRA)
METRICS = pod("monitoring", "prometheus", "prometheus-0", "10.128.2.70", "node-c", kind="StatefulSet", layer=_INFRA)


@dataclass(frozen=True)
class Talk:
    """A conversation: what the client sends in each report, and what comes back; ``every`` reports."""

    client: Who
    server: Who
    port: int
    proto: int
    there: int
    back: int
    service: str = ""
    every: int = 1
    more: dict[str, int | str] = field(default_factory=dict)


STORY = (
    Talk(OUTSIDE, DJANGO_A, 8080, 6, 5_400, 96_000, "django-psql-example", more={"rtt_avg_us": 9_800}),
    Talk(OUTSIDE, DJANGO_B, 8080, 6, 4_900, 91_000, "django-psql-example", more={"rtt_avg_us": 9_500}),
    Talk(
        DJANGO_A,
        POSTGRES,
        5432,
        6,
        21_000,
        64_000,
        "postgresql",
        more={"rtt_avg_us": 410, "rtt_min_us": 280, "rtt_max_us": 950},
    ),
    Talk(
        DJANGO_B,
        POSTGRES,
        5432,
        6,
        19_500,
        60_500,
        "postgresql",
        more={"rtt_avg_us": 460, "rtt_min_us": 300, "rtt_max_us": 990},
    ),
    Talk(
        DJANGO_A,
        DNS,
        53,
        17,
        320,
        540,
        "dns-default",
        more={"dns_name": "postgresql.flow-demo.svc.cluster.local", "dns_rcode": "NOERROR"},
    ),
    Talk(
        DJANGO_B,
        DNS,
        53,
        17,
        310,
        520,
        "dns-default",
        more={"dns_name": "postgresql.flow-demo.svc.cluster.local", "dns_rcode": "NOERROR"},
    ),
    Talk(PROBE, POSTGRES, 5432, 6, 2_800, 4_100, "postgresql", every=7, more={"retransmits": 3}),
    Talk(PROBE, DNS, 53, 17, 90, 150, "dns-default", every=7),
    Talk(METRICS, DNS, 9153, 6, 800, 14_000, "dns-default", every=3),
)
"""``flow-demo`` is in all of it but the last two."""

_NAMES = ("namespace", "name", "kind", "owner", "owner_kind", "node", "zone", "subnet", "service", "dns_name")
_NUMBERS = (
    "time_end_ms",
    "duration_ms",
    "src_port",
    "dst_port",
    "proto",
    "bytes",
    "packets",
    "sampling_rate",
    "tcp_flags",
    "flow_direction",
    "flow_format",
    "local_ends",
    "rtt_min_us",
    "rtt_avg_us",
    "rtt_max_us",
    "retransmits",
    "drop_packets",
    "tcp_state_final",
    "src_layer",
    "dst_layer",
    "icmp_type",
)
_TEXTS = ("dns_name", "dns_rcode", "drop_cause", "node_reporter", "observed_if_names")


def _load(report: int) -> float:
    """A slow swing, and a burst every 20 s."""
    return 1 + 0.35 * math.sin(report / 9) + (2.2 if report % 4 == 0 else 0)


def _rows(talk: Talk, index: int, report: int, end_ms: int, sampling: int) -> Iterator[dict[str, int | str]]:
    shared: dict[str, int | str] = {
        "time_end_ms": end_ms - index * 137 % 900,
        "duration_ms": EXPORT_MS - 400,
        "proto": talk.proto,
        "sampling_rate": sampling,
        "tcp_flags": 0x1B if talk.proto == 6 else 0,
        "flow_format": enums.FLOW_FORMAT.index("agent"),
        "icmp_type": -1,
        "observed_if_names": "eth0",
    } | talk.more
    client_port = 40_000 + (index * 977 + report // 12) % 20_000
    for forward in (True, False):
        src, dst = (talk.client, talk.server) if forward else (talk.server, talk.client)
        volume = round((talk.there if forward else talk.back) * _load(report) / sampling)
        yield (
            shared
            | _ends(src, dst, talk, forward=forward)
            | {
                "src_port": client_port if forward else talk.port,
                "dst_port": talk.port if forward else client_port,
                "bytes": max(60, volume),
                "packets": max(1, volume // 700),
                "node_reporter": src.names.get("node") or dst.names.get("node", ""),
                "flow_direction": enums.FLOW_DIRECTION.index("egress" if src.names.get("node") else "ingress"),
                "local_ends": enums.LOCAL_ENDS.index("src" if src.names.get("node") else "dst"),
            }
        )


def _ends(src: Who, dst: Who, talk: Talk, *, forward: bool) -> dict[str, int | str]:
    row: dict[str, int | str] = {"src_addr": src.addr, "dst_addr": dst.addr, "src_layer": src.layer, "dst_layer": dst.layer}
    for end, who in (("src", src), ("dst", dst)):
        row |= {f"{end}_{name}": text for name, text in who.names.items()}
    row["dst_service" if forward else "src_service"] = talk.service
    return row


def story(start_ms: int, end_ms: int, sampling: int = 1, talks: tuple[Talk, ...] = STORY) -> FlowBatch:
    """All flows that ended in [start_ms, end_ms), as the collector would have written them."""
    rows: list[dict[str, int | str]] = []
    first = -(-start_ms // EXPORT_MS)
    for report in range(first, -(-end_ms // EXPORT_MS)):
        for index, talk in enumerate(talks):
            if report % talk.every == 0:
                rows.extend(_rows(talk, index, report, report * EXPORT_MS, sampling))
    return _batch(rows)


def _batch(rows: list[dict[str, int | str]]) -> FlowBatch:
    names = [f"{end}_{name}" for end in ("src", "dst") for name in _NAMES] + list(_TEXTS)
    columns = {name: Names.from_strings([str(row.get(name, "")) for row in rows]) for name in names}
    numbers = {
        name: np.array([int(row.get(name, 0)) for row in rows], absent_column(definition(name), 0).dtype) for name in _NUMBERS
    }
    addresses = {name: from_texts([str(row[name]) for row in rows]) for name in ("src_addr", "dst_addr")}
    exporter = {"exporter_addr": from_texts(["192.168.50.11"] * len(rows))}
    return FlowBatch(columns | numbers | addresses | exporter)
