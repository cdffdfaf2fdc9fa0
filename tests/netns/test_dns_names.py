# SPDX-License-Identifier: Apache-2.0
"""Flows are called by the name that their client resolved: a real resolver, a real server with its log, a real client."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_kit import until
from flowgauge.runtime import linux
from node_kit import FAR, FAR6, A, B, TwoPods, settled, two_pods
from serving_kit import listening

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.slow, pytest.mark.tool("dnsmasq", "curl", "unshare")]

SHOP, WWW, V6, MANY = "shop.example.org", "www.example.net", "six.example.org", "many.example.org"
OTHERS = [f"10.9.3.{number}" for number in range(10, 60)]
FIN = 1
WEB = [sys.executable, "-m", "http.server", "8080", "--bind", "::", "--directory"]
"""A web server of both families; the folder follows."""
ZONE = [
    f"--host-record={SHOP},{FAR},60", f"--cname={WWW},edge.example.net", f"--cname=edge.example.net,{SHOP}",
    f"--host-record={V6},{FAR6},60", *(f"--host-record={MANY},{address},60" for address in [*OTHERS, FAR]),
]  # fmt: skip


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        yield built


@contextmanager
def resolver(node: TwoPods, folder: Path) -> Iterator[Path]:
    """A resolver in b; the file to which it writes what it was asked and said."""
    log = folder / "dns.log"
    command = ["dnsmasq", "--keep-in-foreground", "--log-facility=-", "--log-queries", "--no-resolv", "--no-hosts",
               "--conf-file=/dev/null", "--bind-interfaces", f"--listen-address={B}", "--user=", *ZONE]  # fmt: skip
    with log.open("w") as stream, linux.in_netns(node.netns["b"]):
        running = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        until(lambda: f"{B}:53 " in node.run("b", "ss", "-Hlun"), "dnsmasq listens")
        yield log
    finally:
        running.kill()
        running.wait()


@contextmanager
def standalone(node: TwoPods, out: Path) -> Iterator[None]:
    """``flowgauge agent --standalone`` on the node, its flows as JSON lines in ``out``."""
    command = [sys.executable, "-P", "-m", "flowgauge.cli.main", "agent", "--standalone", "--netns", node.node, "-o", "jsonl"]
    with out.open("w") as stream, subprocess.Popen(command, stdout=stream, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert "observing" in running.stderr.readline()
        yield
        running.terminate()
        assert running.wait(60) == 0, running.stderr.read()


def browse(node: TwoPods, folder: Path, name: str, *options: str) -> None:
    """A page by curl from a, which asks the resolver in b as ``options`` of resolv.conf say."""
    conf = folder / "resolv.conf"
    conf.write_text(f"nameserver {B}\noptions {' '.join(('attempts:1', *options))}\n")
    node.run("a", "unshare", "-m", "sh", "-c",
             f"mount --bind {conf} /etc/resolv.conf && curl -s -o /dev/null --max-time 20 http://{name}:8080/")  # fmt: skip


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()]


def ended(out: Path) -> int:
    """Web connections, each direction for itself, whose end was printed until now."""
    lines = out.read_text().rpartition("\n")[0].splitlines()
    return sum(row.get("tcp_flags", 0) & FIN for row in web_flows(map(json.loads, lines)))


def web_flows(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those with packets: another scene with these addresses may have sockets that tell something, too."""
    return [row for row in rows if row["packets"] and 8080 in (row.get("src_port"), row.get("dst_port"))]


def test_a_connection_has_the_name_that_its_client_asked_for(node: TwoPods, tmp_path: Path) -> None:
    out = tmp_path / "flows.jsonl"
    with resolver(node, tmp_path) as log, listening(node, "far", [*WEB, str(tmp_path)], 8080), standalone(node, out):
        for number, name in enumerate((SHOP, WWW, V6), 1):
            browse(node, tmp_path, name)
            until(lambda number=number: ended(out) >= 2 * number, "flows are told before the next name is asked for")
        settled(node)
    said = log.read_text()
    web = web_flows(rows_of(out))
    there = [row["dst_dns_name"] for row in web if row.get("dst_port") == 8080]
    assert sorted(set(there), key=there.index) == [SHOP, WWW, V6]
    back = [row["src_dns_name"] for row in web if row.get("src_port") == 8080]
    assert sorted(set(back), key=back.index) == [SHOP, WWW, V6]
    for row in web:
        end = "dst" if row.get("dst_port") == 8080 else "src"
        # Who asks over IPv4 and connects over IPv6 has two addresses, of which only the node is the same.
        sure = "likely" if ":" in row["src_addr"] else "exact"
        assert (row[f"{end}_identity_source"], row[f"{end}_identity_confidence"]) == ("dns", sure)
        assert re.search(rf"config {re.escape(row[f'{end}_dns_name'])} is (<CNAME>|{re.escape(row[f'{end}_addr'])})", said)
    assert not [row for row in rows_of(out) if row["src_addr"] == A and "src_dns_name" in row]  # a client is not its server


def test_over_tcp_each_of_many_addresses_has_the_name(node: TwoPods, tmp_path: Path) -> None:
    """More addresses than a datagram of 512 bytes holds, all to the far machine."""
    out = tmp_path / "flows.jsonl"
    node.run("node", "ip", "route", "add", "10.9.3.0/26", "via", FAR)
    node.run("far", "sh", "-c", "".join(f"ip addr add {address}/32 dev eth0; " for address in OTHERS))
    with resolver(node, tmp_path), listening(node, "far", [*WEB, str(tmp_path)], 8080), standalone(node, out):
        browse(node, tmp_path, MANY, "use-vc")
        for address in (OTHERS[0], OTHERS[30], FAR):
            node.run("a", "curl", "-s", "-o", "/dev/null", f"http://{address}:8080/")
        settled(node)
    rows = rows_of(out)
    assert [row for row in rows if row.get("dst_port") == 53 and row["proto"] == 6 and row.get("dns_name") == MANY]
    named = {row["dst_addr"] for row in rows if row.get("dst_port") == 8080 and row.get("dst_dns_name") == MANY}
    assert {OTHERS[0], OTHERS[30], FAR} <= named
