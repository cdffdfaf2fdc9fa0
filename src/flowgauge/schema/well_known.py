# SPDX-License-Identifier: Apache-2.0
"""Names of protocols and ports: a small fixed table, the same on every machine, unlike /etc/services.

Names come from the IANA registries of protocol numbers and of service names; a port has the name under which people know it.
"""

from __future__ import annotations

PROTOCOLS: dict[int, str] = {
    1: "ICMP",
    2: "IGMP",
    4: "IPIP",
    6: "TCP",
    17: "UDP",
    33: "DCCP",
    41: "IPv6",
    46: "RSVP",
    47: "GRE",
    50: "ESP",
    51: "AH",
    58: "ICMPv6",
    89: "OSPF",
    103: "PIM",
    112: "VRRP",
    132: "SCTP",
    136: "UDPLite",
}
"""Protocol number → name."""

PORTS: dict[int, str] = {
    20: "ftp-data",
    21: "ftp",
    22: "ssh",
    23: "telnet",
    25: "smtp",
    53: "dns",
    67: "dhcp",
    69: "tftp",
    80: "http",
    88: "kerberos",
    110: "pop3",
    111: "rpcbind",
    123: "ntp",
    143: "imap",
    161: "snmp",
    179: "bgp",
    389: "ldap",
    443: "https",
    445: "smb",
    465: "smtps",
    514: "syslog",
    587: "submission",
    636: "ldaps",
    853: "dns-over-tls",
    873: "rsync",
    993: "imaps",
    1433: "mssql",
    1521: "oracle",
    1883: "mqtt",
    2049: "nfs",
    2055: "netflow",
    2379: "etcd",
    2380: "etcd-peer",
    3000: "grafana",
    3100: "loki",
    3306: "mysql",
    3389: "rdp",
    4317: "otlp-grpc",
    4318: "otlp-http",
    4739: "ipfix",
    4789: "vxlan",
    5060: "sip",
    5353: "mdns",
    5432: "postgresql",
    5672: "amqp",
    6081: "geneve",
    6343: "sflow",
    6379: "redis",
    6443: "kube-apiserver",
    8080: "http-alt",
    8123: "clickhouse",
    8443: "https-alt",
    9042: "cassandra",
    9090: "prometheus",
    9092: "kafka",
    9200: "elasticsearch",
    10250: "kubelet",
    11211: "memcached",
    15672: "rabbitmq",
    27017: "mongodb",
}
"""Port → service name."""

_ALSO = {"postgres": 5432, "domain": 53, "www": 80, "mariadb": 3306, "opensearch": 9200, "nfsd": 2049, "mongo": 27017}

PORT_NUMBERS: dict[str, int] = {name: port for port, name in PORTS.items()} | _ALSO
"""Service name, lower case → port."""

PROTOCOL_NUMBERS: dict[str, int] = {name.lower(): number for number, name in PROTOCOLS.items()} | {"icmp6": 58, "udp-lite": 136}
"""Protocol name, lower case → number."""


def protocol_name(number: int) -> str:
    """``TCP`` for 6; the number as text for a protocol that is not in the table."""
    return PROTOCOLS.get(number, str(number))
