# SPDX-License-Identifier: Apache-2.0
"""For every field of ``spec``: what its value does, and what of it this build cannot do yet.

``DOES`` has one function per field, ``NOT_YET`` one for those whose value may ask for more than is built; it gives an empty
text when nothing is missing. ``check`` and the configuration reference print both, so that no page promises more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from flowgauge.config.groups import stored_groups
from flowgauge.config.model import ExporterType, Feature, Listener, Spec, seconds
from flowgauge.config.sending import ClientTls, KafkaFormat
from flowgauge.config.storage import StorageType
from flowgauge.config.values import is_address

Sentence = Callable[[Spec], str]

PARTS = ("agent", "collector", "store", "console")
"""Names that ``logLevels`` knows."""

_SURE = 1.96
"""Standard deviations that hold 95 % of a normal distribution."""


def sampling_error(rate: int, observed: int) -> float:
    """Relative error, with 95 % confidence, of a figure scaled from ``observed`` packets at 1 of ``rate``.

    Each packet is observed by its own chance, so the count is binomial: its relative deviation is √((1 - 1/rate) / observed).
    """
    return _SURE * math.sqrt((1 - 1 / rate) / observed)


def unseen_share(rate: int, packets: int) -> float:
    """The share of connections of so many packets of which none is observed at 1 of ``rate``."""
    return (1 - 1 / rate) ** packets


def _sampling(spec: Spec) -> str:
    rate = spec.exporter.sampling
    if rate == 1:
        return "every packet is observed; figures are exact"
    if spec.exporter.sampling_mode == "flow":
        return (
            f"all packets of 1 of {rate} connections are observed; totals are scaled by {rate} and marked ≈ with their error: "
            f"±{sampling_error(rate, 100):.0%} for {100 * rate:,} connections of one size (95 of 100 times), more where "
            "sizes differ"
        )
    some, many, short = 100, 10_000, 10
    return (
        f"1 of {rate} packets is observed, by chance; packets and bytes are scaled by {rate} and marked ≈ with their error: "
        f"±{sampling_error(rate, some):.0%} for {some * rate:,} packets, ±{sampling_error(rate, many):.0%} for "
        f"{many * rate:,} (95 of 100 times). Of {unseen_share(rate, short):.0%} of connections with {short} packets "
        "nothing is seen; long-lived ones are"
    )


def _interfaces(spec: Spec) -> str:
    names = spec.exporter.interfaces
    if not names:
        return "all interfaces of the node are observed, pods' own included"
    return f"only {listed(names)} of each node {'are' if len(names) > 1 else 'is'} observed"


def _namespaces(spec: Spec) -> str:
    chosen = spec.exporter.namespaces
    if chosen.include:
        return f"only packets with an end in {_spaces(chosen.include)} {listed(chosen.include)} are kept"
    rest = f" but {listed(chosen.exclude)}" if chosen.exclude else ", so flow-demo is included"
    return f"namespaces: all{rest}; to limit, add `exporter.namespaces.include: [flow-demo]`"


def _spaces(patterns: Sequence[str]) -> str:
    return "namespace" if len(patterns) == 1 and not set("*?[") & set(patterns[0]) else "namespaces"


def _rules(spec: Spec) -> str:
    rules = spec.exporter.rules
    if not rules:
        return "no rules"
    kinds = {
        "reject": sum(rule.action == "reject" for rule in rules),
        "sample at a rate of their own": sum(rule.sampling is not None for rule in rules),
        "keep only what the kernel drops": sum(rule.drops for rule in rules),
    }
    told = listed([f"{count} {what}" for what, count in kinds.items() if count])
    rest = "the rest is left out" if rules[-1].takes_all and rules[-1].action == "reject" else "what none matches is observed"
    return f"{len(rules)} rules, of which the first that matches decides{f': {told}' if told else ''}; {rest}"


def _address(spec: Spec) -> str:
    address, port = spec.collector.address, spec.collector.port
    service, _, rest = address.partition(".")
    send = f"exporters send to {address}:{port}"
    if is_address(address) or address == "localhost":
        return send
    if ".svc" in address:
        send += f": in a cluster the Service {service} of namespace {rest.partition('.')[0]}"
    return f"{send}; `flowgauge run` listens on 127.0.0.1 unless --listen says where, and its own agent sends there"


def _storage(spec: Spec) -> str:
    return {
        StorageType.EMBEDDED: "flows are kept on this machine, in the embedded store",
        StorageType.CLICKHOUSE: "flows are kept in a ClickHouse server",
        StorageType.LOKI: "flows are to be kept in Loki",
        StorageType.ELASTICSEARCH: "flows are to be kept in Elasticsearch",
    }[spec.storage.type]


def _exporter(spec: Spec) -> str:
    if not spec.exporter.enable:
        return "no agent runs; flows come only from what else sends to the collector"
    return "an agent on each node observes packets and exports flows"


def _exporter_type(spec: Spec) -> str:
    return {
        ExporterType.EBPF: "our agent builds flows in the kernel, with eBPF",
        ExporterType.OVS: "the cluster's Open vSwitch exports flows to the collector; no agent runs",
        ExporterType.NONE: "no agent runs; devices send to the collector",
    }[spec.exporter.type]


def _console_address(spec: Spec) -> str:
    address = spec.console_plugin.address
    if address in ("127.0.0.1", "::1", "localhost"):
        return f"the console listens on {address}: only this machine reaches it"
    return f"the console listens on {address}, beyond this machine, and asks for a token"


def _collector_type(spec: Spec) -> str:
    return {
        "IPFIX": "agents send IPFIX",
        "NetFlow": "agents send NetFlow v9, which has no place for signals, node names and counters, nor for what tells two "
        "observations of one packet apart: a packet that crosses two nodes counts twice",
        "sFlow": "agents send IPFIX all the same, since sFlow is of sampled packets; devices send sFlow to the same port",
    }[spec.collector.type]


def _port(spec: Spec) -> str:
    return f"the collector listens on {spec.collector.listens_over} port {spec.collector.port or 'that is free'}"


def _transport(spec: Spec) -> str:
    own = spec.collector.transport
    if own == "Kafka":
        return "agents write to the Kafka topic, and keep what no broker takes"
    if own == "UDP":
        return "agents send over UDP: what the network loses is counted, and gone"
    return f"agents send over {own}, to the same port number, and keep what a collector that is away does not take"


def _kafka(spec: Spec) -> str:
    kafka = spec.collector.kafka
    if kafka is None:
        return "no Kafka topic is read"
    whose = "IPFIX of our agents" if kafka.format is KafkaFormat.IPFIX else "records of NetObserv's agents"
    return f"the collector reads {whose} from topic {kafka.topic} at {kafka.brokers}, as one of group {kafka.group}"


def _tls(spec: Spec) -> str:
    tls = spec.collector.tls
    if tls is None:
        return "the collector's own port has no certificate"
    names = f" and that are called {listed(tls.client_names)}" if tls.client_names else ""
    whom = (
        f"agents whose certificate {tls.client_ca} vouches for{names}" if tls.client_ca else "agents without a certificate, too"
    )
    return f"the collector's own port shows {tls.certificate}, and lets in {whom}"


def _client_tls(spec: Spec) -> str:
    tls = spec.collector.client_tls or ClientTls()
    whom = (
        f"collectors whose certificate {tls.ca} vouches for"
        if tls.ca
        else "collectors that this system's authorities vouch for"
    )
    return f"over TLS agents believe {whom}" + (f", and show {tls.certificate}" if tls.certificate else "")


def _listener(listener: Listener) -> str:
    who = ""
    if listener.tls is not None:
        who = ", for clients with a certificate" if listener.tls.client_ca else ", for clients without a certificate"
    senders = f" from {listed(listener.allow)}" if listener.allow else ""
    return f"{listener.transport} port {listener.port or 'that is free'}{senders}{who}"


def _deduplicate(spec: Spec) -> str:
    return {
        "Mark": "a packet seen on two nodes counts once; its other observations are stored and marked",
        "Drop": "a packet seen on two nodes counts once; its other observations are not stored",
        "Off": "every observation counts: a packet that crosses two nodes counts twice",
    }[spec.collector.deduplicate]


def _max_flows(spec: Spec) -> str:
    count = spec.exporter.max_flows
    return f"the kernel holds {count:,} flows of an export interval (about {count * 432 >> 20} MiB); more are counted as lost"


def _list(prefix: str, get: Callable[[Spec], Sequence[object]], empty: str) -> Sentence:
    return lambda spec: f"{prefix} {listed(get(spec))}" if get(spec) else empty


def _count(noun: str, get: Callable[[Spec], Sequence[object] | Mapping[str, object]]) -> Sentence:
    return lambda spec: f"{len(get(spec))} {noun}" if get(spec) else f"no {noun}"


def listed(words: Sequence[object]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    texts = [str(word) for word in words]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _inactive_timeout(spec: Spec) -> str:
    exporter = spec.exporter
    if seconds(exporter.inactive_timeout) >= seconds(exporter.export_interval):
        return f"all flows are sent every {exporter.export_interval}, before any is idle for {exporter.inactive_timeout}"
    return f"a flow that is sent without packets for {exporter.inactive_timeout} has ended as idle, another one may go on"


DOES: dict[str, Sentence] = {
    "spec.exporter.enable": _exporter,
    "spec.exporter.type": _exporter_type,
    "spec.exporter.sampling": _sampling,
    "spec.exporter.samplingMode": lambda s: {"packet": "chance decides packet by packet", "flow": "chance decides for "
        "a connection as a whole, the same on every node"}[s.exporter.sampling_mode],
    "spec.exporter.interfaces": _interfaces,
    "spec.exporter.excludeInterfaces": _list("never observed:", lambda s: s.exporter.exclude_interfaces, "none is left out"),
    "spec.exporter.exportInterval": lambda s: f"a running flow is sent every {s.exporter.export_interval}",
    "spec.exporter.inactiveTimeout": _inactive_timeout,
    "spec.exporter.maxFlows": _max_flows,
    "spec.exporter.namespaces.include": _namespaces,
    "spec.exporter.namespaces.exclude": _list("packets with an end there are left out:",
        lambda s: s.exporter.namespaces.exclude, "none is left out"),
    "spec.exporter.pods.include": lambda s: "only packets with an end at a pod that the selectors choose are kept"
        if s.exporter.pods.include else "pods: all",
    "spec.exporter.pods.exclude": lambda s: "packets with an end at a pod that the selectors choose are left out"
        if s.exporter.pods.exclude else "no pod is left out",
    "spec.exporter.features": _list("measured beside bytes and packets:", lambda s: s.exporter.features,
        "bytes and packets only"),
    "spec.exporter.tunnels": lambda s: "of packets in tunnels the inner one is a flow, and the tunnel is told beside it"
        if s.exporter.tunnels == "inner" else "packets in tunnels are counted as they are where they are first seen",
    "spec.exporter.dnsPorts": lambda s: f"DNS is looked for on {listed([f'port {port}' for port in s.exporter.dns_ports])}"
        if Feature.DNS in s.exporter.features else "DNS is not looked at",
    "spec.exporter.rules": _rules,
    "spec.exporter.heads.enable": lambda s: "agents keep the newest packet headers for `flowgauge capture --past`"
        if s.exporter.heads.enable else "no packet headers are kept; `flowgauge capture` shows what comes",
    "spec.exporter.heads.memoryBytes": lambda s: f"each node spends {s.exporter.heads.memory_bytes >> 20} MiB on packet headers"
        if s.exporter.heads.enable else "no memory is spent on packet headers",
    "spec.collector.type": _collector_type,
    "spec.collector.address": _address,
    "spec.collector.port": _port,
    "spec.collector.transport": _transport,
    "spec.collector.tls": _tls,
    "spec.collector.clientTls": _client_tls,
    "spec.collector.others": _list("agents know more collectors:", lambda s: s.collector.others, "there is no other collector"),
    "spec.collector.kafka": _kafka,
    "spec.collector.spread": lambda s: {"Failover": "agents send to one collector, and to the next while it is away",
        "FlowHash": "each connection's flows go to one of the collectors, on every node the same"}[s.collector.spread],
    "spec.collector.allow": _list("flows are taken only from", lambda s: s.collector.allow, "flows are taken from everybody"),
    "spec.collector.listeners": _list("it also listens on", lambda s: [_listener(one) for one in s.collector.listeners],
        "it listens on no other port"),
    "spec.collector.sampling": lambda s: "every flow is stored" if s.collector.sampling == 1 else
        f"1 of {s.collector.sampling} flows is stored, both directions of a connection or neither; totals are scaled by "
        f"{s.collector.sampling} and marked ≈",
    "spec.collector.exporterRateLimit": lambda s: f"of an exporter that sends more than {s.collector.exporter_rate_limit:,} "
        "flows a second some are left out, and the others count for them" if s.collector.exporter_rate_limit else
        "exporters may send as fast as they like",
    "spec.collector.deduplicate": _deduplicate,
    "spec.collector.elements": _list("elements of devices come from", lambda s: s.collector.elements, "no file adds elements"),
    "spec.collector.tunnels": lambda s: f"of sampled packets in tunnels the {s.collector.tunnels} one is a flow",
    "spec.collector.receiveBufferBytes": lambda s: f"the socket asks the kernel for {s.collector.receive_buffer_bytes >> 20} "
        "MiB of receive buffer (without root at most net.core.rmem_max)",
    "spec.collector.receiveProcesses": lambda s: "processes for reception are as many as the machine's processors call for"
        if s.collector.receive_processes == "auto" else f"{s.collector.receive_processes} processes receive and decode, each "
        "its own exporters" if s.collector.receive_processes else "the collector's own process receives and decodes",
    "spec.collector.enrichment.subnetLabels": lambda s: f"address blocks get the names "
        f"{listed([label.name for label in s.collector.enrichment.subnet_labels])}"
        if s.collector.enrichment.subnet_labels else "no address block has a name of its own",
    "spec.collector.enrichment.labelKeys": _list("stored pod labels:", lambda s: s.collector.enrichment.label_keys, "none"),
    "spec.collector.enrichment.annotationKeys": _list("stored pod annotations:",
        lambda s: s.collector.enrichment.annotation_keys, "none"),
    "spec.collector.enrichment.zoneKey": lambda s: f"a node's zone is its label {s.collector.enrichment.zone_key}",
    "spec.collector.enrichment.infraNamespaces": _list("infrastructure:", lambda s: s.collector.enrichment.infra_namespaces,
        "no namespace counts as infrastructure"),
    "spec.collector.enrichment.externalLabel": lambda s: "addresses outside the cluster without a label of their own are "
        f"{s.collector.enrichment.external_label or 'left without one'}",
    "spec.collector.enrichment.names": _count("fixed names", lambda s: s.collector.enrichment.names),
    "spec.collector.spool.enable": lambda s: "decoded flows are on disk until the store has them" if s.collector.spool.enable
        else "flows wait for the store in memory only, and those not stored yet are lost with the collector",
    "spec.collector.spool.maxBytes": lambda s: f"the spool takes at most {s.collector.spool.max_bytes >> 20:,} MiB of disk, "
        f"about {s.collector.spool.max_bytes // 30_000_000:,} million flows",
    "spec.collector.spool.shed": lambda s: f"when the spool is full the {s.collector.spool.shed.lower()} flows go, counted",
    "spec.collector.forward": _count("places to which flows are sent on", lambda s: s.collector.forward),
    "spec.storage.type": _storage,
    "spec.storage.address": lambda s: f"the server is at {s.storage.address}" if s.storage.address else "no server is needed",
    "spec.storage.retention": lambda s: f"flows are kept for {s.storage.retention}, then dropped by the hour",
    "spec.storage.maxMemoryBytes": lambda s: "the embedded store uses at most "
        f"{s.storage.max_memory_bytes >> 20} MiB of memory",
    "spec.storage.index.columns": lambda s: f"stored beside the core are the columns of {listed(stored_groups(s))}",
    "spec.consolePlugin.enable": lambda s: f"console and API run at port {s.console_plugin.port or 'that is free'}"
        if s.console_plugin.enable else "no console runs",
    "spec.consolePlugin.address": _console_address,
    "spec.consolePlugin.port": lambda s: f"console and API listen on TCP port {s.console_plugin.port or 'that is free'}",
    "spec.visualization.dashboards": _count("dashboards", lambda s: s.visualization.dashboards),
    "spec.alerts": _count("alert rules", lambda s: s.alerts),
    "spec.logLevel": lambda s: f"parts log at level {s.log_level}; a change needs no restart of agent and collector",
    "spec.logLevels": lambda s: listed([f"{part} logs at level {level}" for part, level in s.log_levels.items()])
        or "no part has a level of its own",
}  # fmt: skip
"""Path → what the value does, one sentence without a full stop."""


def _unless(wanted: Callable[[Spec], object], words: str) -> Sentence:
    """``words`` when the document asks for what is not built."""
    return lambda spec: words if wanted(spec) else ""


def _storage_instead(spec: Spec) -> str:
    if spec.storage.type in (StorageType.EMBEDDED, StorageType.CLICKHOUSE):
        return ""
    return (
        f"{spec.storage.type} is not in this build: flows are kept in the embedded store on this machine instead, for "
        f"{spec.storage.retention}, and nothing is sent to {spec.storage.address}"
    )


NOT_YET: dict[str, Sentence] = {
    "spec.exporter.type": _unless(lambda s: s.exporter.type is ExporterType.OVS,
        "this build does not set up Open vSwitch: point its IPFIX export at the collector yourself"),
    "spec.collector.enrichment.labelKeys": _unless(lambda s: s.collector.enrichment.label_keys, "this build stores no labels"),
    "spec.collector.enrichment.annotationKeys": _unless(lambda s: s.collector.enrichment.annotation_keys,
        "this build stores no annotations"),
    "spec.collector.forward": _unless(lambda s: s.collector.forward, "this build sends flows nowhere else"),
    "spec.storage.type": _storage_instead,
    "spec.storage.index.columns": _unless(lambda s: s.storage.index.model_extra, "of index this build takes columns only"),
    "spec.visualization.dashboards": _unless(lambda s: s.visualization.dashboards, "this build has one page"),
    "spec.alerts": _unless(lambda s: s.alerts, "this build evaluates no alerts"),
}  # fmt: skip
"""Path → what this build does not do of it and does instead; empty when it does everything."""
