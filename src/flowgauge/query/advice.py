# SPDX-License-Identifier: Apache-2.0
"""What to do about a trouble, in a sentence: where to look next, by its kind and by the kernel's reason of a drop. Pure."""

from __future__ import annotations

_OF_KINDS = {
    "refused": "see whether the server runs, is ready, and listens on this port",
    "unanswered": "see whether the server's node is up, and what policies, firewalls and routes on the way say of this port",
    "silent": "see whether the server's node is up, and what policies, firewalls and routes on the way say of this port",
    "turned_back": "see who says so (the client's flows of ICMP), the routes there, and who has the server's address",
    "slow_reader": "see what keeps the receiver from reading: too little CPU, a lock, a slow disk; then more replicas of it",
    "drops": "the reason is the kernel's own word: see the node (flowgauge nodes), then the packets (flowgauge capture)",
    "retransmits": "they are lost where no agent looks: see the nodes' interfaces (flowgauge nodes), then the network between",
    "rtt": "the way is slow, not the server: compare others on the same nodes, then queues of the nodes and the link between",
    "dns_unanswered": "see whether the DNS servers run and reach theirs, and who asks most (filter: port = 53)",
    "dns": "see the load of the DNS servers and how long theirs take, and who asks most (filter: port = 53)",
    "server_time": "the server is slow, not the way: see its slow queries, its locks and its CPU; then scale it",
}

_FULL = "see what sends most through that interface, and its queue there: tc -s qdisc; a limit may be set too low"
_READS_LATE = _OF_KINDS["slow_reader"]

_OF_CAUSES = {
    "NETFILTER_DROP": "see the network policies and firewall rules of that node for this port; if it is meant, stop the client",
    "NO_SOCKET": _OF_KINDS["refused"],
    "QDISC_DROP": _FULL,
    "PKT_TOO_BIG": "make the MTU of the sender smaller than that of the next link, as tunnels need",
    "TCP_ZEROWINDOW": _READS_LATE,
    "TCP_OVERWINDOW": _READS_LATE,
    "SOCKET_RCVBUFF": _READS_LATE,
    "SOCKET_BACKLOG": _READS_LATE,
    "TCP_OLD_DATA": "nothing of these was lost, answers came late: see the load of both nodes",
    "CPU_BACKLOG": "spread the node's packets over its CPUs (RSS, RPS), or move workloads away from it",
    "NEIGH_FAILED": "see whether the next hop is up and answers ARP or neighbour discovery: ip neigh on that node",
}
"""For what a kernel drops; names as in the kernel's enum ``skb_drop_reason``."""

_OF_ERRORS = {
    "port unreachable": _OF_KINDS["refused"],
    "administratively prohibited": _OF_CAUSES["NETFILTER_DROP"],
}
"""For what ICMP says of packets that cannot arrive."""

_DROPPED = frozenset({"unanswered", "silent", "drops", "retransmits"})


def advice(kind: str, cause: str) -> str:
    """What to do about a trouble of ``kind`` (``troubles.Kind``) with the reason ``cause`` of its drops or errors, or none."""
    if kind == "turned_back":
        return _OF_ERRORS.get(cause, _OF_KINDS[kind])
    return _OF_CAUSES.get(cause, _OF_KINDS["drops"]) if cause and kind in _DROPPED else _OF_KINDS[kind]
