# SPDX-License-Identifier: Apache-2.0
"""The registry of columns: every column of a flow, once.

Decoders, encoders, DDL, filters, completion, CLI tables, API types and the reference page are derived from it. To add a
column, add an entry here and a test (``docs/how-to/add-a-column.md``). Names are a contract: never change a meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flowgauge.schema import enums
from flowgauge.schema.column import ABSENT_BY_PROTOCOL, Cardinality, Column, Kind, Role, Stored

LOW, MEDIUM, HIGH = Cardinality.LOW, Cardinality.MEDIUM, Cardinality.HIGH
TIME, DIMENSION, MEASURE, DETAIL = Role.TIME, Role.DIMENSION, Role.MEASURE, Role.DETAIL

PORT_PROTOCOLS = frozenset({6, 17, 33, 132, 136})
"""Protocols with ports (TCP, UDP, DCCP, SCTP, UDP-Lite): elsewhere ``src_port`` and ``dst_port`` are absent."""

ICMP_PROTOCOLS = frozenset({1, 58})
"""Protocols with a type and a code."""


def _both_ends(column: Column, *, dst_element: int = 0, dst_element_v6: int = 0) -> tuple[Column, Column]:
    """Declares a pair: ``column`` is named without its end; the destination's names and own numbers derive from the source's."""
    src = replace(column, name=f"src_{column.name}", title=f"Source {column.title}",
                  held_as=f"src_{column.held_as}" if column.held_as else "")  # fmt: skip
    dst = replace(column, name=f"dst_{column.name}", title=f"Destination {column.title}",
                  held_as=f"dst_{column.held_as}" if column.held_as else "",
                  element=dst_element, element_v6=dst_element_v6,
                  enterprise=column.enterprise + 1 if column.enterprise else 0,
                  netobserv=column.netobserv.replace("Src", "Dst"),
                  otel=column.otel.replace("source", "destination"))  # fmt: skip
    return src, dst


_KEY: tuple[Column, ...] = (
    Column(name="time_start_ns", kind=Kind.I64, title="Start", unit="ns", role=TIME, stored=Stored.NEVER, element=156,
           help="Time of the first packet, nanoseconds since 1970 UTC.", netobserv="TimeFlowStartMs"),
    Column(name="time_end_ns", kind=Kind.I64, title="End", unit="ns", role=TIME, held_as="time_end_ms", scale=1_000_000,
           element=157, cardinality=HIGH, netobserv="TimeFlowEndMs",
           help="Time of the last packet, nanoseconds since 1970 UTC; kept to the millisecond."),
    Column(name="duration_ns", kind=Kind.U32, title="Duration", unit="ns", role=DETAIL, held_as="duration_ms",
           scale=1_000_000, cardinality=HIGH, help="From the first to the last packet; kept to the millisecond."),
    Column(name="time_received_ns", kind=Kind.I64, title="Received", unit="ns", role=TIME, stored=Stored.NEVER,
           help="When the collector received the record.", netobserv="TimeReceived"),
    Column(name="time_exported_ns", kind=Kind.I64, title="Exported", unit="ns", role=TIME, stored=Stored.NEVER, absent=0,
           help="When the exporter sent the record by its own clock, where that is wrong by more than a minute."),
    Column(name="time_source", kind=Kind.ENUM, title="Time from", role=DETAIL, labels=enums.TIME_SOURCE, cardinality=LOW,
           stored=Stored.ROUTER, help="Whether the times are the flow's own or, its clock being implausible, the receive time."),
    *_both_ends(Column(name="addr", kind=Kind.ADDR, title="address", element=8, element_v6=27, cardinality=HIGH, absent=0,
                       help="IP address.", netobserv="SrcAddr", otel="source.address"), dst_element=12, dst_element_v6=28),
    *_both_ends(Column(name="port", kind=Kind.U16, title="port", element=7, cardinality=HIGH, absent=ABSENT_BY_PROTOCOL,
                       help="Transport port; absent for protocols without ports.", netobserv="SrcPort", otel="source.port"),
                dst_element=11),
    Column(name="proto", kind=Kind.U8, title="Protocol", element=4, cardinality=LOW, netobserv="Proto",
           otel="network.transport", help="IANA protocol number: 6 TCP, 17 UDP, 1 ICMP …"),
    Column(name="ether_type", kind=Kind.U16, title="EtherType", element=256, stored=Stored.L2, cardinality=LOW, absent=0,
           role=DETAIL, help="Ethernet protocol of the frame.", netobserv="Etype"),
    Column(name="icmp_type", kind=Kind.I16, most=255, stored=Stored.ICMP, title="ICMP type", element=176, element_v6=178, absent=-1, cardinality=LOW,
           help="ICMP or ICMPv6 type; absent for other protocols.", netobserv="IcmpType"),
    Column(name="icmp_code", kind=Kind.I16, most=255, stored=Stored.ICMP, title="ICMP code", element=177, element_v6=179, absent=-1, cardinality=LOW,
           help="ICMP or ICMPv6 code; absent for other protocols.", netobserv="IcmpCode"),
    Column(name="bytes", kind=Kind.U64, title="Bytes", unit="bytes", role=MEASURE, element=1, cardinality=HIGH,
           netobserv="Bytes", otel="hw.network.io", help="Layer 3 bytes as observed, before scaling by the sampling rate."),
    Column(name="packets", kind=Kind.U64, title="Packets", unit="packets", role=MEASURE, element=2, cardinality=HIGH,
           netobserv="Packets", help="Packets as observed, before scaling by the sampling rate."),
    Column(name="sampling_rate", kind=Kind.U32, title="Sampling", element=34, absent=0, role=DETAIL, cardinality=LOW,
           help="One of this many packets was observed; 1 = all, absent = unknown.", netobserv="Sampling"),
    Column(name="sampling_source", kind=Kind.ENUM, title="Sampling from", labels=enums.SAMPLING_SOURCE, role=DETAIL,
           stored=Stored.ROUTER, cardinality=LOW, help="How the sampling rate is known."),
    Column(name="sampling_algorithm", kind=Kind.ENUM, title="Sampling of", labels=enums.SAMPLING_ALGORITHM, role=DETAIL,
           stored=Stored.SEEN, cardinality=LOW, enterprise=55, help="What chance decided for: single packets, or whole flows (connections)."),
    Column(name="tcp_flags", kind=Kind.U16, most=0x0FFF, title="TCP flags", element=6, role=DETAIL, cardinality=LOW, netobserv="Flags",
           help="OR of all nine TCP flag bits seen: 1 FIN, 2 SYN, 4 RST, 8 PSH, 16 ACK, 32 URG, 64 ECE, 128 CWR, 256 NS/AE."),
    Column(name="ip_tos", kind=Kind.I16, most=255, title="Type of service", element=5, absent=-1, role=DETAIL, cardinality=LOW,
           netobserv="Dscp", help="IPv4 type of service or IPv6 traffic class; the DSCP is its upper six bits."),
    Column(name="ip_ttl_min", kind=Kind.U8, title="Smallest TTL", element=52, absent=0, role=DETAIL, stored=Stored.ROUTER,
           help="Smallest time to live or hop limit seen."),
    Column(name="ip_ttl_max", kind=Kind.U8, title="Largest TTL", element=53, absent=0, role=DETAIL, stored=Stored.ROUTER,
           help="Largest time to live or hop limit seen."),
    *_both_ends(Column(name="mac", kind=Kind.MAC, title="MAC", element=56, absent=0, role=DETAIL, stored=Stored.L2,
                       cardinality=HIGH, help="Ethernet address; opt-in.", netobserv="SrcMac"), dst_element=80),
    Column(name="vlan_id", kind=Kind.U16, most=4095, title="VLAN", element=58, absent=0, stored=Stored.L2, cardinality=LOW,
           help="802.1Q VLAN of the frame."),
    Column(name="dot1q_customer_vlan_id", kind=Kind.U16, most=4095, title="Customer VLAN", element=245, absent=0, stored=Stored.L2,
           cardinality=LOW, help="Inner VLAN of a double-tagged frame."),
    *_both_ends(Column(name="as", kind=Kind.U32, title="AS", element=16, absent=0, stored=Stored.ROUTER,
                       help="Autonomous system number."), dst_element=17),
    *_both_ends(Column(name="mask", kind=Kind.U8, most=128, title="prefix length", element=9, element_v6=29, absent=0, role=DETAIL,
                       stored=Stored.ROUTER, cardinality=LOW, help="Prefix length of the route."),
                dst_element=13, dst_element_v6=30),
    Column(name="next_hop", kind=Kind.ADDR, title="Next hop", element=15, element_v6=62, absent=0, stored=Stored.ROUTER,
           help="Address of the next router."),
    Column(name="bgp_next_hop", kind=Kind.ADDR, title="BGP next hop", element=18, element_v6=63, absent=0,
           stored=Stored.ROUTER, help="Address of the next hop in BGP."),
    Column(name="forwarding_status", kind=Kind.U8, title="Forwarding", element=89, absent=0, stored=Stored.ROUTER,
           cardinality=LOW, help="What the router did with the packets; 128 and above: dropped."),
    Column(name="mpls_labels", kind=Kind.LIST, of_numbers=True, title="MPLS labels", element=70, stored=Stored.ROUTER, role=DETAIL,
           help="MPLS label stack, top first."),
    Column(name="application_id", kind=Kind.U64, title="Application id", element=95, absent=0, stored=Stored.ROUTER,
           help="Application as the exporter classified it (RFC 6759)."),
    Column(name="application_name", kind=Kind.NAMES, title="Application name", element=96, stored=Stored.ROUTER,
           help="Name of the exporter's application id."),
    Column(name="flow_end_reason", kind=Kind.U8, title="End reason", element=136, absent=0, stored=Stored.ROUTER, role=DETAIL,
           cardinality=LOW, help="Why the flow record was closed."),
    Column(name="biflow_direction", kind=Kind.U8, title="Biflow direction", element=239, absent=0, stored=Stored.ROUTER,
           role=DETAIL, cardinality=LOW, help="How a bidirectional record's direction was chosen (RFC 5103)."),
)  # fmt: skip

_OBSERVATION: tuple[Column, ...] = (
    Column(name="exporter_addr", kind=Kind.ADDR, title="Exporter", element=130, element_v6=131, absent=0,
           help="Address of the device or agent that reported the flow.", netobserv="AgentIP"),
    Column(name="socket_addr", kind=Kind.ADDR, title="Sent from", absent=0, role=DETAIL, stored=Stored.ROUTER,
           help="Address from which the record came, where that is not the exporter's own: a relay's, a translated one, or "
                "another of the device."),
    Column(name="obs_domain_id", kind=Kind.U32, title="Observation domain", element=149, role=DETAIL, stored=Stored.ROUTER,
           help="Observation domain of the exporter."),
    Column(name="template_id", kind=Kind.U16, title="Template", element=145, absent=0, role=DETAIL, stored=Stored.NEVER,
           help="Template of the record, for debugging."),
    Column(name="flow_format", kind=Kind.ENUM, title="Format", labels=enums.FLOW_FORMAT, cardinality=LOW,
           help="Protocol in which the flow arrived; `agent` is IPFIX from our own agent."),
    Column(name="record_kind", kind=Kind.ENUM, stored=Stored.ROUTER, title="Record", labels=enums.RECORD_KIND, role=DETAIL, cardinality=LOW,
           help="What the record is.", netobserv="_RecordType"),
    Column(name="in_if", kind=Kind.U32, title="In interface", element=10, absent=0, role=DETAIL,
           help="ifIndex where the packets came in."),
    Column(name="out_if", kind=Kind.U32, title="Out interface", element=14, absent=0, role=DETAIL,
           help="ifIndex where the packets went out."),
    Column(name="in_if_name", kind=Kind.NAMES, title="In interface name", element=82, stored=Stored.SEEN,
           help="Name of the interface where the packets came in."),
    Column(name="out_if_name", kind=Kind.NAMES, title="Out interface name", stored=Stored.SEEN,
           help="Name of the interface where the packets went out."),
    Column(name="in_vrf", kind=Kind.U32, title="In VRF", element=234, absent=0, role=DETAIL, stored=Stored.ROUTER,
           help="Number of the routing table (VRF) in which the packets came in; 0 is the device's default one, and absent."),
    Column(name="out_vrf", kind=Kind.U32, title="Out VRF", element=235, absent=0, role=DETAIL, stored=Stored.ROUTER,
           help="Number of the routing table (VRF) in which the packets went out."),
    Column(name="in_vrf_name", kind=Kind.NAMES, title="In VRF name", element=236, stored=Stored.ROUTER,
           help="Name of the VRF in which the packets came in, as the device told it."),
    Column(name="out_vrf_name", kind=Kind.NAMES, title="Out VRF name", stored=Stored.ROUTER,
           help="Name of the VRF in which the packets went out, as the device told it."),
    Column(name="observed_ifs", kind=Kind.U32X4, title="Observed interfaces", role=DETAIL, stored=Stored.NEVER, enterprise=2,
           help="Up to four observation points of the agent: ifIndex, with bit 31 set for egress; 0 = unused."),
    Column(name="observed_if_names", kind=Kind.LIST, title="Seen at", role=DETAIL, stored=Stored.SEEN,
           help="Every interface of the node that saw the flow, first to last.", netobserv="Interfaces"),
    Column(name="observed_if_dirs", kind=Kind.LIST, of_numbers=True, title="Seen in direction", role=DETAIL, stored=Stored.SEEN,
           help="Direction at each of those interfaces: 0 in, 1 out.", netobserv="IfDirections"),
    Column(name="flow_direction", kind=Kind.ENUM, title="Direction", labels=enums.FLOW_DIRECTION, element=61, cardinality=LOW,
           help="As the reporting node sees it: into the node, out of it, or within it.", netobserv="FlowDirection"),
    Column(name="node_reporter", kind=Kind.NAMES, stored=Stored.SEEN, title="Reported by", element=300, cardinality=LOW,
           help="Name of the node or device that reported the flow."),
    Column(name="local_ends", kind=Kind.ENUM, title="Local ends", labels=enums.LOCAL_ENDS, role=DETAIL, enterprise=1,
           stored=Stored.SEEN, cardinality=LOW, help="Which ends of the flow live on the reporting node."),
    Column(name="duplicate_of", kind=Kind.ENUM, title="Duplicate", labels=enums.DUPLICATE_OF, cardinality=LOW, role=DETAIL,
           help="`counted`, or why another observation of the same packets is the counted one: `far_end` and `transit` of an agent, "
                "`other_direction` of a device that meters in and out, `router_beside_agent` (best effort, by addresses, ports and "
                "time)."),
    Column(name="cluster", kind=Kind.NAMES, title="Cluster", cardinality=LOW, stored=Stored.ROUTER,
           help="Name of the cluster.", netobserv="K8S_ClusterName"),
)  # fmt: skip


def _name(name: str, title: str, help_: str, *, enterprise: int, **more: object) -> tuple[Column, Column]:
    entry = Column(name=name, kind=Kind.NAMES, title=title, help=help_, enterprise=enterprise)
    return _both_ends(replace(entry, **more))  # type: ignore[arg-type]


_NAMES: tuple[Column, ...] = (
    *_name("namespace", "namespace", "Kubernetes namespace.", enterprise=100, netobserv="SrcK8S_Namespace",
           otel="k8s.src.namespace.name"),
    *_name("name", "name", "Name of the pod, service, node or outside peer.", enterprise=102, netobserv="SrcK8S_Name"),
    *_name("kind", "kind", "What the name names: Pod, Service, Node …", enterprise=104, cardinality=LOW,
           netobserv="SrcK8S_Type"),
    *_name("owner", "workload", "Top controller: Deployment, StatefulSet, DaemonSet, Job, CronJob …", enterprise=106,
           netobserv="SrcK8S_OwnerName"),
    *_name("owner_kind", "workload kind", "Kind of the top controller.", enterprise=108, cardinality=LOW,
           netobserv="SrcK8S_OwnerType"),
    *_name("revision", "revision", "Pod template hash of the workload.", enterprise=110, stored=Stored.POLICY),
    *_name("service", "service", "Service through which the end was reached, or that selects it.", enterprise=112),
    Column(name="service_port", kind=Kind.U16, title="Service port", absent=0, stored=Stored.SEEN, enterprise=152,
           help="Port that clients ask for, where the server listens on another one: the Service's. In both directions."),
    Column(name="target_port", kind=Kind.U16, title="Target port", absent=0, stored=Stored.SEEN, enterprise=153,
           help="Port on which the server listens, where clients ask for another one: the pods' behind a Service. In both directions."),
    *_name("node", "node", "Node on which the end runs.", enterprise=114, netobserv="SrcK8S_HostName"),
    *_name("zone", "zone", "Availability zone of that node.", enterprise=116, cardinality=LOW, netobserv="SrcK8S_Zone"),
    *_name("region", "region", "Region of that node.", enterprise=118, cardinality=LOW, stored=Stored.GEO),
    *_name("application", "application", "Application label of the workload, else the workload.", enterprise=120,
           stored=Stored.POLICY),
    *_name("network", "network", "Secondary or user-defined network.", enterprise=122, stored=Stored.PATH,
           netobserv="SrcK8S_NetworkName"),
    *_name("subnet", "subnet", "Longest configured subnet label; `EXT:` means outside the cluster.", enterprise=124,
           netobserv="SrcSubnetLabel"),
    *_name("dns_name", "DNS name", "Name that a client resolved to reach this address, where nothing else names it.", enterprise=126, stored=Stored.DNS),
    *_name("country", "country", "Country code.", enterprise=128, cardinality=LOW, stored=Stored.GEO),
    *_name("city", "city", "City.", enterprise=130, stored=Stored.GEO),
    *_name("as_name", "AS name", "Name of the autonomous system.", enterprise=132, stored=Stored.GEO),
    *_both_ends(Column(name="layer", kind=Kind.ENUM, title="layer", labels=enums.LAYER, cardinality=LOW, enterprise=134,
                       help="Application or infrastructure.", netobserv="K8S_FlowLayer")),
    *_both_ends(Column(name="identity_source", kind=Kind.ENUM, title="identity from", labels=enums.IDENTITY_SOURCE,
                       cardinality=LOW, role=DETAIL, stored=Stored.POLICY, enterprise=136,
                       help="How the names of this end are known: `watch` from Kubernetes objects, `nat` the same behind a "
                            "translation, `record` from the exporter, `dns` from an answer of DNS, `subnet` by address block "
                            "or fixed name.")),
    *_both_ends(Column(name="identity_confidence", kind=Kind.ENUM, title="identity confidence", role=DETAIL,
                       labels=enums.IDENTITY_CONFIDENCE, cardinality=LOW, stored=Stored.POLICY, enterprise=138,
                       help="How sure the names of this end are.")),
    *_name("process", "process", "Command name, where the agent knows it.", enterprise=140, stored=Stored.PROCESS),
    *_both_ends(Column(name="pid", kind=Kind.U32, title="process id", absent=0, role=DETAIL, stored=Stored.PROCESS,
                       enterprise=142, help="Process id, where the agent knows it.")),
    *_name("pod_uid", "pod UID", "UID of the pod, from the path of the process's control group.", enterprise=146,
           stored=Stored.PROCESS, role=DETAIL),
    *_name("container", "container", "Identifier of the container, its first 12 digits.", enterprise=148, stored=Stored.PROCESS,
           role=DETAIL),
    *_both_ends(Column(name="uid", kind=Kind.U32, title="user id", absent=0xFFFFFFFF, role=DETAIL, stored=Stored.PROCESS,
                       enterprise=150, cardinality=LOW, help="User id of the process, where the agent knows it; 0 is root.")),
    *_both_ends(Column(name="node_addr", kind=Kind.ADDR, title="node address", absent=0, role=DETAIL, stored=Stored.PATH,
                       help="Address of the node on which the end runs.", enterprise=144, netobserv="SrcK8S_HostIP")),
)  # fmt: skip


def _latency(
    name: str, title: str, help_: str, enterprise: int, *, stored: Stored = Stored.CORE, netobserv: str = ""
) -> Column:
    """A latency: µs (up to 71 minutes) in memory and in the store, ns at the edges, 0 = not measured."""
    return Column(name=f"{name}_ns", kind=Kind.U32, public_kind=Kind.U64, title=title, help=help_, unit="ns", role=MEASURE, held_as=f"{name}_us",
                  scale=1_000, absent=0, cardinality=HIGH, enterprise=enterprise, stored=stored,
                  netobserv=netobserv)  # fmt: skip


_SIGNALS: tuple[Column, ...] = (
    _latency("rtt_min", "RTT min", "Smallest smoothed round-trip time in the interval.", 10),
    _latency("rtt_avg", "RTT avg", "Mean smoothed round-trip time in the interval.", 11),
    _latency("rtt_max", "RTT max", "Largest smoothed round-trip time in the interval.", 12, netobserv="TimeFlowRttNs"),
    _latency("handshake", "Handshake", "From SYN to SYN/ACK as seen at the node.", 13, stored=Stored.SIGNALS),
    Column(name="rtt_histogram", kind=Kind.LIST, of_numbers=True, title="RTT histogram", role=DETAIL, stored=Stored.PATH, enterprise=14,
           help="Round-trip times by power-of-two microseconds."),
    Column(name="retransmits", kind=Kind.U32, title="Retransmits", unit="packets", role=MEASURE, absent=0, enterprise=15,
           cardinality=HIGH, help="TCP segments sent again."),
    Column(name="drop_packets", kind=Kind.U64, title="Dropped packets", unit="packets", role=MEASURE, absent=0, enterprise=16,
           cardinality=HIGH, help="Packets that the kernel dropped.", netobserv="PktDropPackets"),
    Column(name="drop_bytes", kind=Kind.U64, title="Dropped bytes", unit="bytes", role=MEASURE, absent=0, enterprise=17,
           stored=Stored.SIGNALS, cardinality=HIGH, help="Bytes that the kernel dropped.", netobserv="PktDropBytes"),
    Column(name="drop_cause", kind=Kind.NAMES, title="Drop cause", cardinality=LOW, enterprise=18,
           help="Commonest drop reason in the interval.", netobserv="PktDropLatestDropCause"),
    Column(name="drop_tcp_state", kind=Kind.NAMES, title="TCP state at drop", cardinality=LOW, stored=Stored.SIGNALS,
           enterprise=19, help="TCP state of the commonest drop.", netobserv="PktDropLatestState"),
    Column(name="dns_id", kind=Kind.U16, title="DNS id", role=DETAIL, absent=0, stored=Stored.DNS, enterprise=20,
           help="Transaction id of the DNS query.", netobserv="DnsId"),
    Column(name="dns_rcode", kind=Kind.NAMES, title="DNS answer", cardinality=LOW, enterprise=21,
           help="Response code: NOERROR, NXDOMAIN …", netobserv="DnsFlagsResponseCode"),
    Column(name="dns_name", kind=Kind.NAMES, title="DNS name asked", enterprise=22,
           help="Name in the DNS question.", netobserv="DnsName"),
    _latency("dns_latency", "DNS latency", "From DNS query to answer.", 23, netobserv="DnsLatencyMs"),
    Column(name="dns_type", kind=Kind.U16, title="DNS type", role=DETAIL, absent=0, stored=Stored.SIGNALS, enterprise=24,
           help="Type of the DNS question: 1 A, 28 AAAA …"),
    Column(name="post_nat_src_addr", kind=Kind.ADDR, title="Source after NAT", element=225, element_v6=281, absent=0,
           stored=Stored.NAT, help="Source address after translation.", netobserv="XlatSrcAddr"),
    Column(name="post_nat_dst_addr", kind=Kind.ADDR, title="Destination after NAT", element=226, element_v6=282, absent=0,
           help="Destination address after translation: the backend of a service.", netobserv="XlatDstAddr"),
    Column(name="post_nat_src_port", kind=Kind.U16, title="Source port after NAT", element=227, absent=0, role=DETAIL,
           stored=Stored.NAT, help="Source port after translation.", netobserv="XlatSrcPort"),
    Column(name="post_nat_dst_port", kind=Kind.U16, stored=Stored.NAT, title="Destination port after NAT", element=228, absent=0, role=DETAIL,
           help="Destination port after translation.", netobserv="XlatDstPort"),
    Column(name="nat_event", kind=Kind.U8, title="NAT event", element=230, absent=0, stored=Stored.NAT, cardinality=LOW,
           help="What a NAT device logged."),
    Column(name="tls_version", kind=Kind.NAMES, title="TLS version", cardinality=LOW, stored=Stored.TLS, enterprise=30,
           help="TLS version from the hello messages.", netobserv="TLSVersion"),
    Column(name="tls_server_name", kind=Kind.NAMES, title="TLS server name", stored=Stored.TLS, enterprise=31,
           help="Server name in the client hello."),
    Column(name="tls_cipher", kind=Kind.NAMES, title="TLS cipher", cardinality=LOW, stored=Stored.TLS, enterprise=32,
           help="Cipher suite chosen by the server.", netobserv="TLSCipherSuite"),
    Column(name="tls_group", kind=Kind.NAMES, title="TLS group", cardinality=LOW, stored=Stored.TLS, enterprise=33,
           help="Key exchange group.", netobserv="TLSCurve"),
    Column(name="tls_alpn", kind=Kind.NAMES, title="ALPN", cardinality=LOW, stored=Stored.TLS, enterprise=38,
           help="Application protocol: what the server chose where that is readable (TLS 1.2), else the first that the client offers: "
                "h2, http/1.1, h3 …"),
    Column(name="quic_version", kind=Kind.NAMES, title="QUIC version", cardinality=LOW, stored=Stored.TLS, enterprise=34,
           help="QUIC version of the connection.", netobserv="QuicVersion"),
    Column(name="policy_verdict", kind=Kind.ENUM, title="Policy", labels=enums.POLICY_VERDICT, cardinality=LOW,
           stored=Stored.POLICY, enterprise=35, help="What network policy says of the flow."),
    Column(name="policy_names", kind=Kind.LIST, title="Policies", stored=Stored.POLICY, enterprise=36,
           help="Policies that decided.", netobserv="NetworkEvents"),
    Column(name="tcp_state_final", kind=Kind.ENUM, title="TCP end", labels=enums.TCP_STATE_FINAL, cardinality=LOW,
           stored=Stored.SIGNALS, enterprise=37, help="How the connection stands or ended; reset, refused, timed out, unreachable and closed told apart."),
    _latency("server_time_min", "Server time min", "Shortest time from the last packet of a request to the first of its reply.",
             40, stored=Stored.SIGNALS),
    _latency("server_time_avg", "Server time avg", "Mean time from the last packet of a request to the first of its reply.",
             41, stored=Stored.SIGNALS),
    _latency("server_time_max", "Server time max", "Longest time from the last packet of a request to the first of its reply.",
             42, stored=Stored.SIGNALS),
    Column(name="server_time_count", kind=Kind.U32, title="Replies", role=MEASURE, absent=0, stored=Stored.SIGNALS,
           cardinality=HIGH, enterprise=43, help="Replies whose server time was measured in the interval."),
    Column(name="socket_event", kind=Kind.ENUM, title="Socket", labels=enums.SOCKET_EVENT, cardinality=LOW, role=DETAIL,
           stored=Stored.SIGNALS, enterprise=44,
           help="What happened to a socket, of which the row tells; absent in flows. The source is the socket's own end."),
    Column(name="initiator", kind=Kind.ENUM, title="Initiator", labels=enums.INITIATOR, cardinality=LOW, role=DETAIL,
           stored=Stored.SIGNALS, enterprise=45, help="Which end opened the connection of a socket's event."),
    Column(name="icmp_error", kind=Kind.NAMES, title="ICMP error", cardinality=LOW, stored=Stored.SIGNALS, enterprise=46,
           help="Commonest error that ICMP reported of the flow in the interval: port unreachable, ttl exceeded …"),
    Column(name="icmp_error_packets", kind=Kind.U32, title="ICMP errors", unit="packets", role=MEASURE, absent=0,
           stored=Stored.SIGNALS, cardinality=HIGH, enterprise=47, help="Packets of ICMP that report errors of the flow."),
    Column(name="tunnel_kind", kind=Kind.ENUM, title="Tunnel", labels=enums.TUNNEL_KIND, cardinality=LOW, role=DETAIL,
           stored=Stored.TUNNEL, enterprise=56, help="In what the node saw the flow's packets, where inner packets are asked for."),
    Column(name="tunnel_id", kind=Kind.U32, title="Tunnel id", absent=0, role=DETAIL, stored=Stored.TUNNEL, enterprise=57,
           help="Network identifier (VNI) of VXLAN and Geneve, key of GRE."),
    Column(name="tunnel_src_addr", kind=Kind.ADDR, title="Tunnel source", absent=0, role=DETAIL, stored=Stored.TUNNEL,
           enterprise=58, help="Address of the tunnel's end that sent the packets."),
    Column(name="tunnel_dst_addr", kind=Kind.ADDR, title="Tunnel destination", absent=0, role=DETAIL, stored=Stored.TUNNEL,
           enterprise=59, help="Address of the tunnel's other end."),
    Column(name="conversation_id", kind=Kind.U64, title="Conversation", role=DETAIL, stored=Stored.NEVER, cardinality=HIGH,
           help="The same for both directions of a 5-tuple.", netobserv="_HashId"),
)  # fmt: skip

COLUMNS: tuple[Column, ...] = _KEY + _OBSERVATION + _NAMES + _SIGNALS
"""Every column, in the order in which reference pages and wide tables show them."""

BY_NAME: dict[str, Column] = {column.name: column for column in COLUMNS}
"""Public name → column."""

BY_PHYSICAL: dict[str, Column] = {column.physical: column for column in COLUMNS}
"""Physical name (as in batches after ``normalise`` and in the store) → column."""

DEFAULT_GROUPS: tuple[Stored, ...] = (Stored.ICMP, Stored.SEEN, Stored.SIGNALS)
"""Groups that are stored unless switched off: small, and the first questions of a cluster ask for them."""


def stored_columns(groups: Iterable[Stored] = DEFAULT_GROUPS) -> tuple[Column, ...]:
    """The columns that the store keeps: the core, and those of the ``groups`` that are switched on."""
    wanted = {Stored.CORE, *groups}
    return tuple(column for column in COLUMNS if column.stored in wanted)
