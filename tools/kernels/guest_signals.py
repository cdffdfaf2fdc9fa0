# SPDX-License-Identifier: Apache-2.0
"""Every signal that an agent can be told to measure, all at once on one node, each against what the scene itself did."""

from __future__ import annotations

import json
import os
import platform
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from guest_devices import Finding

from dns_kit import answer, query
from ebpf_kit import touched
from flowgauge.agent import kernel_probes, node_counters
from flowgauge.agent.resolved import ResolvedNames
from flowgauge.demo.scene import counters, kernel
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.signal_hooks import Support, is_measured
from flowgauge.flow import addresses
from hello_kit import INITIALS, SERVER_NAME
from node_kit import A, B, TwoPods, observed, settled, transfer, two_pods
from serving_kit import FORKING, call, telling
from signal_kit import batch, events, macs_of, one, told

SIGNALS = {"rtt": True, "drops": True, "dns": True, "server_time": True, "process": True, "sockets": True, "tls": True,
           "icmp_errors": True, "tunnels": True, "macs": True}  # fmt: skip
SHOP = "shop.example.org"
NOWHERE = "10.9.50.2"
"""An address that the node drops without a word."""
NODE = "10.9.1.1"

# Of Debian's kernel; what needs more says so, with the version that has it.
OF_6_1 = {
    "nat": "not visible: connection tracking is not loaded, or Linux < 6.2",
    "drops": "on, without the state of the socket that was to receive the packet: needs Linux >= 6.11",
    "process": "on, of TCP only: UDP needs Linux >= 6.3",
}


def findings() -> Iterator[Finding]:
    """One after the other."""
    with two_pods() as node:
        kernel.ip_batch(node.node, ["route add blackhole 10.9.50.0/24"])
        with observed(node, **SIGNALS) as watch:
            program = watch.program
            program.attach_signals()
            yield from _told_alike(program)
            for scene in (
                _processes,
                _macs,
                _resent,
                _refused_datagrams,
                _dns,
                _names,
                _tls,
                _quic,
                _server_time,
                _node_counters,
            ):
                yield from _tried(scene, node, program)
            counted = touched(program.counters())
            yield "signals: no table was full", not [name for name in counted if name.endswith("_full")], counted


def _tried(
    scene: Callable[[TwoPods, FlowProgram], Iterator[Finding]], node: TwoPods, program: FlowProgram
) -> Iterator[Finding]:
    told(program)  # what was before is another scene's
    try:
        yield from scene(node, program)
    except (AssertionError, OSError) as failed:
        yield f"{scene.__name__.strip('_')}: came to an end", False, repr(failed)[:2000]


def _told_alike(program: FlowProgram) -> Iterator[Finding]:
    """What the agent says of this kernel, and what ``flowgauge doctor --kernel`` does."""
    features = program.features()
    old = platform.release().startswith("6.1.")
    yield "signals: what this kernel gives", features == dict.fromkeys(features, "on") | (OF_6_1 if old else {}), features
    hooks = {hook.hook: hook for hook in kernel_probes.answers()}
    for hook in hooks.values():
        yield f"doctor: {hook.hook}, since {hook.since}", True, f"{hook.support} {hook.detail}"
    asked = {name: hooks["address translation" if name == "nat" else f"signal {name}"] for name in features}
    alike = {name: is_measured(features[name]) is (hook.support is Support.AVAILABLE) for name, hook in asked.items()}
    yield "doctor: says the same as the agent", all(alike.values()), alike
    lacking = {hook.hook for hook in hooks.values() if hook.support is not Support.AVAILABLE}
    yield "doctor: lacks what came later", lacking == ({"TCX hooks", "address translation"} if old else set()), lacking


def _processes(node: TwoPods, program: FlowProgram) -> Iterator[Finding]:
    with telling(node, FORKING, 8001) as listener:
        port, worker = call(node, (B, 8001))
        settled(node)
        rows = told(program)
    row = one(rows, src_addr=A, src_port=port, socket_event=0)
    pids = row["src_pid"], row["dst_pid"], row["src_uid"]
    yield "process: both ends of a connection", pids == (os.getpid(), worker, os.getuid()), f"{pids}, {row['dst_process']}"
    life = events(rows, dst_port=8001, src_port=port), events(rows, src_port=8001, dst_port=port)
    yield "sockets: a connection's life", life == (
        [("connected", "established", "src"), ("closed", "closed", "src")],
        [("accepted", "established", "dst"), ("closed", "closed", "dst")],
    ), life  # fmt: skip
    heard = one(rows, src_port=8001, dst_port=0)["src_pid"]
    yield "sockets: who listens", heard == listener, heard
    yield "rtt: of the connection", 0 < row["rtt_avg_ns"] < 10**10 and row["handshake_ns"] > 0, row["rtt_avg_ns"]


def _macs(node: TwoPods, program: FlowProgram) -> Iterator[Finding]:
    transfer(node, ("a", "b"), (B, 8011), 10_000)
    settled(node)
    pods, devices = (node.mac("a"), node.mac("b")), (node.mac("node", "va"), node.mac("node", "vb"))
    told_now = batch(program)
    packets = told_now.take(told_now.array("packets") > 0)  # an event of a socket has no frame
    found = [macs_of(packets, *ends) for ends in ((A, B), (B, A))]
    yield "macs: those of the devices", found == [[(pods[0], devices[0])], [(pods[1], devices[1])]], found


def _resent(node: TwoPods, program: FlowProgram) -> Iterator[Finding]:
    """A connection that nobody answers, and one that is refused."""
    before = counters.tcp_segments_sent(node.netns["a"])
    for to in ((NOWHERE, 8002), (B, 8003)):
        with node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(None)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1500)
            with suppress(ConnectionRefusedError, TimeoutError):
                client.connect(to)
    sent = counters.tcp_segments_sent(node.netns["a"]).since(before)
    rows = told(program)
    resent = one(rows, dst_addr=NOWHERE, socket_event=0)["retransmits"]
    yield "rtt: segments sent again are the kernel's", resent == sent.repeated > 0, f"{resent}, {sent}"
    tries = [("retrying", "", "src")] * sent.repeated
    life = events(rows, dst_addr=NOWHERE), events(rows, dst_port=8003)
    yield "sockets: each try is told", life == (
        [*tries, ("failed", "timeout", "src")], [("failed", "refused", "src")]
    ), life  # fmt: skip


def _refused_datagrams(node: TwoPods, program: FlowProgram) -> Iterator[Finding]:
    with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client:
        for _ in range(3):
            client.sendto(b"anybody?", (B, 4001))
            time.sleep(0.1)
    settled(node)
    row = one(told(program), dst_port=4001, proto=17)
    error = row["icmp_error"], row["icmp_error_packets"]
    yield "icmpErrors: of the flow that they are about", error == ("port unreachable", 3), error
    dropped = row["drop_cause"], row["drop_packets"]
    yield "drops: by the kernel's own reason", dropped == ("NO_SOCKET", 3), dropped


def _asked(node: TwoPods, messages: tuple[bytes, bytes], delay_s: float) -> float:
    """A question from pod a that pod b answers after a while; the seconds that pod a waited."""
    with (
        node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as server,
        node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind((B, 53))
        since = time.monotonic()
        client.sendto(messages[0], (B, 53))
        _, peer = server.recvfrom(2000)
        time.sleep(delay_s)
        server.sendto(messages[1], peer)
        client.recv(2000)
        return time.monotonic() - since


def _dns(node: TwoPods, program: FlowProgram) -> Iterator[Finding]:
    asked = query(4711, SHOP)
    waited_s = _asked(node, (asked, answer(asked)), 0.2)
    row = one(told(program), src_addr=A, dst_port=53)
    found = row["dns_id"], row["dns_name"], row["dns_rcode"]
    yield "dns: name, id and answer", found == (4711, SHOP, "NOERROR"), found
    yield "dns: how long it took", 0.2 <= row["dns_latency_ns"] / 1e9 <= waited_s, f"{row['dns_latency_ns']}, {waited_s}"


def _names(node: TwoPods, program: FlowProgram) -> Iterator[Finding]:
    asked = query(4712, SHOP)
    _asked(node, (asked, answer(asked, address=B)), 0)
    names = ResolvedNames()
    names.add(program.evict().answer_pieces)
    learned = [(one.name, addresses.to_text(one.client), addresses.to_text(one.address)) for one in names.due()]
    yield "dns: the address in an answer", learned == [(SHOP, A, B)], learned


def _tls(node: TwoPods, program: FlowProgram) -> Iterator[Finding]:
    """A handshake that needs no certificate."""
    client, server = _without_certificate(ssl.PROTOCOL_TLS_CLIENT), _without_certificate(ssl.PROTOCOL_TLS_SERVER)
    with (
        node.socket("b", socket.AF_INET, socket.SOCK_STREAM) as listener,
        node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as out,
    ):
        listener.bind((B, 8443))
        listener.listen()
        out.connect((B, 8443))
        accepted, _ = listener.accept()
        accepted.settimeout(60)
        answering = threading.Thread(target=lambda: server.wrap_socket(accepted, server_side=True).close())
        answering.start()
        with client.wrap_socket(out, server_hostname=SHOP) as secured:
            agreed = secured.cipher()
        answering.join()
    row = one(told(program), src_addr=A, dst_port=8443, socket_event=0)
    found = row["tls_version"], row["tls_server_name"], row["tls_cipher"]
    yield (
        "tls: what both ends agreed on",
        found == ("TLS 1.2", SHOP, "0xc018"),
        f"{found}, {agreed}",
    )


def _without_certificate(side: int) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AECDH-AES128-SHA:@SECLEVEL=0")  # 0xc018, which has no name here (RFC 8422)
    return context


def _quic(node: TwoPods, program: FlowProgram) -> Iterator[Finding]:
    with (
        node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as server,
        node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind((B, 443))
        client.sendto(INITIALS["1"].ljust(1200, b"\0"), (B, 443))
        server.recvfrom(2000)
    row = one(told(program), src_addr=A, dst_port=443)
    found = row["quic_version"], row["tls_server_name"]
    yield "tls: the hello of QUIC", found == ("1", SERVER_NAME), found


def _server_time(node: TwoPods, program: FlowProgram) -> Iterator[Finding]:
    with (
        node.socket("b", socket.AF_INET, socket.SOCK_STREAM) as listener,
        node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client,
    ):
        listener.bind((B, 5432))
        listener.listen()
        client.connect((B, 5432))
        accepted, _ = listener.accept()
        with accepted:
            since = time.monotonic()
            client.sendall(b"SELECT 1")
            accepted.recv(100)
            time.sleep(0.2)
            accepted.sendall(b"1")
            client.recv(100)
            waited_s = time.monotonic() - since
    row = one(told(program), src_addr=A, dst_port=5432, socket_event=0)
    found = row["server_time_count"], row["server_time_max_ns"]
    yield "serverTime: of the reply", found[0] == 1 and 0.2 <= found[1] / 1e9 <= waited_s, f"{found}, {waited_s}"


def _node_counters(node: TwoPods, _: FlowProgram) -> Iterator[Finding]:
    before, sent, received = node_counters.read(node.node).queues["udp_receive"], 100, 0
    with (
        node.socket("node", socket.AF_INET, socket.SOCK_DGRAM) as slow,
        node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as fast,
    ):
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.bind(("", 7001))
        for _ in range(sent):
            fast.sendto(bytes(500), (NODE, 7001))
        settled(node)
        slow.setblocking(False)
        with suppress(BlockingIOError):
            while slow.recv(1000):
                received += 1
    lost = node_counters.read(node.node).queues["udp_receive"] - before
    yield "node: datagrams that found a full socket", lost == sent - received > 0, f"{lost}, {received} of {sent}"
    counted = {name: asdict(device) for name, device in node_counters.read(node.node).devices.items()}
    shown = {link["ifname"]: _shown(link["stats64"]) for link in json.loads(node.run("node", "ip", "-s", "-j", "link"))}
    yield "node: every device as ip shows it", counted == shown, f"{len(counted)} devices"


def _shown(statistics: dict[str, dict[str, Any]]) -> dict[str, dict[str, int]]:
    return {
        way: {name: statistics[side][name] for name in ("packets", "bytes", "errors", "dropped")}
        for way, side in (("received", "rx"), ("sent", "tx"))
    }
