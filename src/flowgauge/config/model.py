# SPDX-License-Identifier: Apache-2.0
"""The FlowCollector document as pydantic models: field names as users write them, each followed by what it means."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from flowgauge.config import values
from flowgauge.config.choice import NamespaceChoice, PodChoice, Rule, check_rules
from flowgauge.config.section import Section
from flowgauge.config.sending import ClientTls, Kafka, KafkaFormat
from flowgauge.config.storage import Storage
from flowgauge.schema import duration

API_VERSION: Literal["flowgauge.io/v1alpha1"] = "flowgauge.io/v1alpha1"
KIND: Literal["FlowCollector"] = "FlowCollector"


class ExporterType(StrEnum):
    """Who observes packets."""

    EBPF = "eBPF"
    OVS = "OVS"
    NONE = "None"


class Feature(StrEnum):
    """Signals of the agent beyond bytes and packets."""

    RTT = "rtt"
    DROPS = "drops"
    DNS = "dns"
    NAT = "nat"
    TLS = "tls"
    SERVER_TIME = "serverTime"
    RTT_HISTOGRAM = "rttHistogram"
    PROCESS = "process"
    SOCKETS = "sockets"
    ICMP_ERRORS = "icmpErrors"
    MACS = "macs"


Duration = Annotated[str, BeforeValidator(values.duration_text), Field(pattern=duration.PATTERN)]
"""A whole number and its unit: 500ms, 5s, 15m, 12h, 7d, 2w."""

ExportInterval = Annotated[Duration, AfterValidator(values.between("100ms", "10m"))]
"""Below 100 ms the export costs more than the packets; above 10 min an answer is not of now."""

InterfacePattern = Annotated[str, AfterValidator(values.interface_pattern)]
"""An exact name, or a regular expression between slashes."""


class Heads(Section):
    """The newest packet headers, kept in each node's memory for ``flowgauge capture``. Payload is never among them."""

    enable: bool = False
    """Whether they are kept: of all packets of the devices that are observed, whatever rules and sampling say."""
    memory_bytes: Annotated[int, Field(ge=1_048_576, le=1_073_741_824)] = 33_554_432
    """Kernel memory for them on each node, 176 B a packet; three quarters of it hold packets, the rest waits for the next."""


class Exporter(Section):
    """The node agents."""

    enable: bool = True
    """Whether agents run."""
    type: ExporterType = ExporterType.EBPF
    """eBPF: our agent; OVS: the cluster's Open vSwitch exports to us; None: only devices send."""
    sampling: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """One of this many packets is observed; figures are scaled and say so. 1 observes all."""
    sampling_mode: Literal["packet", "flow"] = "packet"
    """packet: one of N packets; flow: all packets of one of N connections."""
    interfaces: list[InterfacePattern] = Field(default_factory=list)
    """Exact names or /regex/; empty means all. Named interfaces only: traffic between pods of one node may not pass them."""
    exclude_interfaces: list[InterfacePattern] = Field(default_factory=lambda: ["lo"])
    """Exact names or /regex/ that are never observed."""
    export_interval: ExportInterval = "5s"
    """How often a running flow is sent."""
    inactive_timeout: Annotated[Duration, AfterValidator(values.between("1s", "1h"))] = "15s"
    """A flow without packets for so long when it is sent has ended as idle (flow_end_reason 1), else it may go on (2). All
    flows are sent at each export, so this tells them apart where exportInterval is longer."""
    max_flows: Annotated[int, Field(ge=256, le=16_777_216)] = 262_144
    """Flows of an export interval that the kernel holds at least; more are counted as lost (about 430 B each: in caches of the
    CPUs, and in two tables in turn)."""
    namespaces: NamespaceChoice = Field(default_factory=NamespaceChoice)
    """Which namespaces are observed; all by default. A packet is kept when one of its ends is chosen and none is left out."""
    pods: PodChoice = Field(default_factory=PodChoice)
    """Which pods are observed; all by default."""
    features: list[Feature] = Field(
        default_factory=lambda: [Feature.NAT, Feature.RTT, Feature.DROPS, Feature.DNS, Feature.SERVER_TIME]
    )
    """Signals beyond bytes and packets; each costs nothing when off. What each measures: "Signals of the agent"."""
    tunnels: Literal["outer", "inner"] = "outer"
    """Of packets in tunnels (VXLAN, Geneve, GRE, IP in IP) each as it is where it is first seen, or the inner one, with the
    tunnel's ends and identifier beside it."""
    dns_ports: Annotated[list[Annotated[int, Field(ge=1, le=65535)]], Field(min_length=1, max_length=8)] = Field(
        default_factory=lambda: [53]
    )
    """Ports on which DNS servers listen; behind a Service also the one of the pod, as 5353 on OpenShift."""
    rules: list[Rule] = Field(default_factory=list)
    """Of those that match a packet the first decides; what none matches is observed. At most 64."""
    heads: Heads = Field(default_factory=Heads)
    """Packet headers of the last while."""

    @property
    def chooses_pods(self) -> bool:
        """Whether only some namespaces or pods are observed, for which an agent must know them."""
        return bool(self.namespaces or self.pods)

    @model_validator(mode="after")
    def _heads_of_all(self) -> Self:
        if self.heads.enable and self.chooses_pods:
            raise ValueError("heads would keep packets of pods that namespaces and pods leave out: choose one of both")
        return self

    @model_validator(mode="after")
    def _rules_that_can_be(self) -> Self:
        try:
            check_rules(self.rules, self.sampling)
        except ValueError as error:
            raise ValueError(f"the rules {error}") from error
        return self


class SubnetLabel(Section):
    """A name for address blocks."""

    name: str
    """The label; begin it with EXT: for what is outside the cluster."""
    cidrs: list[Annotated[str, AfterValidator(values.cidr)]]
    """Blocks, as 203.0.113.0/24 or 2001:db8::/32; the longest match wins."""


class FixedName(Section):
    """A name for addresses of which Kubernetes knows nothing: a database server, a partner's gateway."""

    name: str
    """The name."""
    addresses: list[Annotated[str, AfterValidator(values.cidr)]]
    """Addresses or blocks that have it; the longest match wins."""
    kind: str = "External"
    """What it is; shown as the kind of the name."""


class Enrichment(Section):
    """How addresses get names."""

    subnet_labels: list[SubnetLabel] = Field(default_factory=list)
    """Labels of address blocks."""
    label_keys: list[str] = Field(default_factory=list)
    """Pod labels that are stored."""
    annotation_keys: list[str] = Field(default_factory=list)
    """Pod annotations that are stored."""
    zone_key: str = "topology.kubernetes.io/zone"
    """Node label that holds the zone."""
    infra_namespaces: list[str] = Field(default_factory=lambda: ["kube-*", "openshift", "openshift-*", "default"])
    """Namespaces, by name or glob, whose layer is infra."""
    external_label: str = "EXT:internet"
    """Label of globally routable addresses that no subnet label, name or object covers; empty gives them none."""
    names: list[FixedName] = Field(default_factory=list)
    """Fixed names of addresses outside Kubernetes."""


class Tls(Section):
    """Who this collector is, and whom it believes. Files are read again when they change, without a restart."""

    certificate: str
    """File with the certificate and those that lead to its root (PEM)."""
    key: str
    """File with its private key (PEM)."""
    client_ca: str = ""
    """File with the authorities whose clients may send (PEM); empty: clients need no certificate."""
    client_names: list[str] = Field(default_factory=list)
    """DNS names, one of which a client's certificate must carry (subjectAltName); *.example.net takes one label. Empty: any."""

    @model_validator(mode="after")
    def _names_need_an_authority(self) -> Self:
        if self.client_names and not self.client_ca:
            raise ValueError("clientNames needs clientCa: without it clients show no certificate")
        return self


class Listener(Section):
    """One more port on which flows are received."""

    port: Annotated[int, Field(ge=0, le=65535)]
    """0 takes a free one. Usual are 4739 (IPFIX), 6343 (sFlow), 9995 and 9996 (NetFlow)."""
    address: Annotated[str, AfterValidator(values.host)] = ""
    """Address to listen on; empty: as the collector's own port."""
    transport: Literal["UDP", "TCP", "TLS", "gRPC"] = "UDP"
    """UDP takes every protocol, TCP and TLS take IPFIX (RFC 7011 §10.4), gRPC takes pbflow of NetObserv's agents."""
    allow: list[Annotated[str, AfterValidator(values.cidr)]] = Field(default_factory=list)
    """Blocks of senders that are let in; empty: all."""
    tls: Tls | None = Field(default=None)
    """Certificates, for TLS, and for gRPC that is not in clear."""
    max_connections: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Of TCP and TLS at once; half of them may come from one address."""
    idle_timeout: Annotated[Duration, AfterValidator(values.between("10s", "7d"))] = "30m"
    """After how long without a message a connection is closed; longer than exporters are silent."""

    @model_validator(mode="after")
    def _tls_where_it_is_wanted(self) -> Self:
        if self.transport != "gRPC" and (self.transport == "TLS") != (self.tls is not None):
            raise ValueError("tls (certificate and key) goes with transport: TLS or gRPC, and TLS needs it")
        return self


class Spool(Section):
    """Flows on disk until the store has them: what outlives a store that is away, and a collector that is killed."""

    enable: bool = True
    """Whether decoded flows are put on disk before they are stored; off: they wait in memory only, and less of them."""
    max_bytes: Annotated[int, Field(ge=16_777_216)] = 4_294_967_296
    """What the spool may take of the disk (a flow takes about 30 B); the last 512 MiB of the file system are left free."""
    shed: Literal["Oldest", "Newest"] = "Oldest"
    """Which flows go, counted, when the spool is full."""


class Collector(Section):
    """Where exporters send, and what is done with it."""

    type: Literal["IPFIX", "NetFlow", "sFlow"] = "IPFIX"
    """What agents send; the port takes every protocol in any case."""
    address: Annotated[str, AfterValidator(values.host)] = "127.0.0.1"
    """Where exporters send; NAME.NAMESPACE.svc… makes that Service in a cluster."""
    port: Annotated[int, Field(ge=0, le=65535)] = 2055
    """UDP port for every flow protocol; 0 takes a free one."""
    transport: Literal["UDP", "TCP", "TLS", "Kafka"] = "UDP"
    """How agents send; TCP and TLS take the same port number, beside UDP. All but UDP carry IPFIX only."""
    tls: Tls | None = Field(default=None)
    """Who the collector is, for transport TLS."""
    client_tls: ClientTls | None = Field(default=None)
    """Whom agents believe, for transport TLS."""
    others: list[Annotated[str, AfterValidator(values.host_port)]] = Field(default_factory=list)
    """Further collectors, as HOST:PORT."""
    kafka: Kafka | None = Field(default=None)
    """A topic from which the collector reads flows, and to which agents write them with transport Kafka."""
    spread: Literal["Failover", "FlowHash"] = "Failover"
    """Failover: agents send to one, and to the next while it is away. FlowHash: to all, a connection always to the same one."""
    allow: list[Annotated[str, AfterValidator(values.cidr)]] = Field(default_factory=list)
    """Blocks of senders that are let in at this port; empty: all. UDP senders can claim any address."""
    listeners: list[Listener] = Field(default_factory=list)
    """More ports."""
    sampling: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Keeps one of this many flows; totals stay unbiased."""
    exporter_rate_limit: Annotated[int, Field(ge=0)] = 0
    """Flows a second that are kept of one exporter; 0: all. Beyond it the rate of what is kept is raised instead."""
    deduplicate: Annotated[Literal["Mark", "Drop", "Off"], BeforeValidator(values.off_word)] = "Mark"
    """What happens to further observations of the same packets."""
    elements: list[str] = Field(default_factory=list)
    """Files of information elements of your devices, CSV or YAML: enterprise,number,name,type,column. Read again
    whenever the document is; of a wrong file the former elements stay."""
    tunnels: Literal["outer", "inner"] = "outer"
    """Of sampled packets in tunnels (sFlow) the outer packet, as routers count it, or the inner one, between the pods."""
    receive_buffer_bytes: Annotated[int, Field(ge=212_992)] = 33_554_432
    """Socket receive buffer asked of the kernel; a larger one rides out longer pauses."""
    receive_processes: Literal["auto"] | Annotated[int, Field(ge=0, le=64)] = "auto"
    """Processes that receive and decode, each its own exporters by their address; 0: none beside the collector itself.
    auto: with the spool 1, from 8 processors on 2, from 16 on 3, from 24 on 4; without it 0."""
    enrichment: Enrichment = Field(default_factory=Enrichment)
    """How addresses get names."""
    spool: Spool = Field(default_factory=Spool)
    """Flows on disk until the store has them."""
    forward: list[dict[str, Any]] = Field(default_factory=list)
    """Where flows are sent on."""

    @property
    def listens_over(self) -> str:
        """How the collector's own port is reached: ``UDP``, or ``UDP and TLS``."""
        return f"UDP and {self.transport}" if self.transport in ("TCP", "TLS") else "UDP"

    @model_validator(mode="after")
    def _kafka_has_a_topic(self) -> Self:
        if self.transport == "Kafka" and self.kafka is None:
            raise ValueError("transport: Kafka needs kafka (brokers and topic)")
        if self.transport == "Kafka" and self.kafka is not None and self.kafka.format is not KafkaFormat.IPFIX:
            raise ValueError("agents write IPFIX to Kafka; kafka.format: pbflow is for topics that others write")
        return self

    @model_validator(mode="after")
    def _netflow_is_of_datagrams(self) -> Self:
        if self.type == "NetFlow" and self.transport != "UDP":
            raise ValueError(f"type: NetFlow travels over UDP only; transport: {self.transport} needs type: IPFIX")
        return self


class ConsolePlugin(Section):
    """The web console."""

    enable: bool = True
    """Whether the console runs (and, in OpenShift, whether its plugin is registered)."""
    address: Annotated[str, AfterValidator(values.host)] = "127.0.0.1"
    """Where console and API listen; beyond loopback a token is required."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8055
    """TCP port of console and API; 0 takes a free one."""


class Visualization(Section):
    """Dashboards by team."""

    dashboards: list[dict[str, Any]] = Field(default_factory=list)
    """[{team, namespaces, panels}]"""


LogLevel = Literal["trace", "debug", "info", "warning", "error"]


class Spec(Section):
    """What the system does."""

    exporter: Exporter = Field(default_factory=Exporter)
    """The node agents."""
    collector: Collector = Field(default_factory=Collector)
    """The collector."""
    storage: Storage = Field(default_factory=Storage)
    """The store."""
    console_plugin: ConsolePlugin = Field(default_factory=ConsolePlugin)
    """The web console."""
    visualization: Visualization = Field(default_factory=Visualization)
    """Dashboards."""
    alerts: list[dict[str, Any]] = Field(default_factory=list)
    """Alert rules."""
    log_level: LogLevel = "info"
    """How much is logged; changes without a restart."""
    log_levels: dict[str, LogLevel] = Field(default_factory=dict)
    """The level of single parts: {agent: debug}."""


class Metadata(BaseModel):
    """Kubernetes metadata; only the name matters to us."""

    model_config = ConfigDict(extra="allow")
    name: str = "cluster"


class FlowCollector(Section):
    """The whole document."""

    api_version: Literal["flowgauge.io/v1alpha1"] = API_VERSION
    """Version of the document's format."""
    kind: Literal["FlowCollector"] = KIND
    """Always FlowCollector."""
    metadata: Metadata = Field(default_factory=Metadata)
    """Name: the singleton is called cluster."""
    spec: Spec = Field(default_factory=Spec)
    """What the system does."""
    status: dict[str, Any] = Field(default_factory=dict)
    """Written by the operator; ignored when read."""


seconds = values.seconds
"""Seconds of a ``Duration`` such as 5s or 7d."""
