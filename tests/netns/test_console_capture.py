# SPDX-License-Identifier: Apache-2.0
"""Packets by the console: all nodes in one file, the past where it is kept, a sentence where not, and only for who may."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from agent_kit import until
from console_kit import Console, running_console
from flowgauge.console.settings import ConsoleSettings
from heads_kit import TOKEN, packets, tshark
from node_kit import A, B
from packets_kit import NOWHERE, Nodes, two_nodes

pytestmark = [pytest.mark.root, pytest.mark.slow]

CONSOLE_TOKEN = "a-token-of-the-console"
NOBODY = 65534
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with two_nodes(tmp_path_factory.mktemp("nodes")) as found:
        yield found


def captured(console: Console, **params: str) -> tuple[bytes, str]:
    """The file, and which nodes are missing in it."""
    query = urlencode({name.rstrip("_"): value for name, value in params.items()})
    with _OPENER.open(f"{console.url}/api/v1/capture?{query}", timeout=60) as answer:
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="flowgauge-')
        return answer.read(), answer.headers["X-Flowgauge-Missing"] or ""


def refusal(console: Console, **params: object) -> tuple[int, str]:
    reply = console.api("capture", **params)
    return reply.status, reply.problem["message"]


def standing(console: Console) -> dict[str, dict[str, Any]]:
    return {one["node"]: one for one in console.api("capture/nodes").json["nodes"]}


@pytest.mark.tool("tshark")
def test_what_comes_is_captured_on_all_nodes_in_the_order_of_time(nodes: Nodes, tmp_path: Path) -> None:
    body, missing = captured(nodes.console, filter_=f"dst_addr = {B}", for_="2s")
    assert missing == ""
    (tmp_path / "it.pcapng").write_bytes(body)
    rows = tshark(tmp_path / "it.pcapng", "ip.dst", "frame.interface_description", "frame.time_epoch")
    assert len(rows) > 10
    assert {address for address, *_ in rows} == {B}
    assert {description for _, description, _ in rows} == {"node n1", "node n2"}
    times = [float(at) for *_, at in rows]
    assert times == sorted(times)


def test_the_past_is_there_where_it_is_kept_and_the_file_says_where_not(nodes: Nodes) -> None:
    until(lambda: standing(nodes.console)["n1"]["packets"] > 300, "packets kept")
    body, missing = captured(nodes.console, filter_=f"src_addr = {A}", past="60s")
    assert missing == "n2"
    assert len(packets(body)) > 100
    assert b"without n2: node n2 keeps no packet heads: set spec.exporter.heads.enable to true" in body[:400]
    assert refusal(nodes.console, past="60s", node="n2") == (
        400, "node n2 keeps no packet heads: set spec.exporter.heads.enable to true",
    )  # fmt: skip


def test_a_file_is_not_longer_than_was_asked(nodes: Nodes) -> None:
    body, _ = captured(nodes.console, for_="30s", max_bytes="5000")
    assert 1000 < len(body) <= 5000
    assert packets(body)


def test_what_nodes_keep_is_told_and_can_be_frozen(nodes: Nodes) -> None:
    found = standing(nodes.console)
    assert (found["n1"]["kept"], found["n1"]["frozen"], found["n2"]["kept"]) == (True, False, False)
    assert found["n1"]["oldest_ms"] > 1_700_000_000_000
    reply = nodes.console.ask("/api/v1/capture/freeze", body=b"", for_="1m")
    assert reply.json["nodes"][0] == {"node": "n1", "problem": ""}
    assert "keeps no packet heads" in reply.json["nodes"][1]["problem"]
    assert standing(nodes.console)["n1"]["frozen"]
    nodes.console.ask("/api/v1/capture/freeze", body=b"", for_="0s")
    assert not standing(nodes.console)["n1"]["frozen"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "nothing to capture in 0 seconds"),
        ({"for_": "soon"}, "is no duration"),
        ({"for_": "2h"}, "one hour at most"),
        ({"for_": "1s", "filter_": "port ="}, "expected"),
        ({"for_": "1s", "filter_": "rtt_avg_ns > 5"}, "a packet has no rtt_avg_ns"),
        ({"for_": "1s", "node": "n9"}, "there is no node 'n9' with an agent; there are n1, n2"),
        ({"for_": "1s", "max_bytes": 10}, "max_bytes"),
        ({"from_": 5}, "from and to go together"),
        ({"from_": 5, "to": 1}, "ends before it begins"),
        ({"past": "5s", "from_": 1, "to": 2}, "leave one out"),
    ],
)
def test_a_wrong_question_gets_one_sentence(nodes: Nodes, params: dict[str, object], words: str) -> None:
    status, said = refusal(nodes.console, **params)
    assert (status, words in said) == (400, True), said


def test_without_agents_or_with_dead_ones_it_is_said() -> None:
    with running_console(ConsoleSettings(NOWHERE, "secret")) as console:
        status, said = refusal(console, for_="1s")
        assert (status, "this console knows no agents" in said) == (503, True)
    with running_console(ConsoleSettings(NOWHERE, "secret", agents={"n1": NOWHERE}, agent_token=TOKEN)) as console:
        status, said = refusal(console, for_="1s")
        assert (status, "the agent does not answer" in said) == (503, True)
        assert "does not answer" in standing(console)["n1"]["problem"]


def test_a_wrong_token_of_agents_is_told_in_their_words(nodes: Nodes) -> None:
    with running_console(ConsoleSettings(NOWHERE, "secret", agents=nodes.urls, agent_token="another")) as console:
        assert refusal(console, for_="1s") == (503, "packet headers need the agent's token")


def test_other_sites_pages_begin_no_capture(nodes: Nodes) -> None:
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200)):
        reply = nodes.console.ask("/api/v1/capture/nodes", headers={"Sec-Fetch-Site": site})
        assert reply.status == status, site


def _as_nobody(url: str, *options: str) -> tuple[int, str]:
    """Status and body of a question by another user of this machine."""
    command = ["curl", "--silent", "--noproxy", "*", "--write-out", "\n%{http_code}", *options, url]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", timeout=60
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


@pytest.mark.tool("curl")
def test_on_loopback_packets_are_for_who_started_the_console_or_has_its_token(nodes: Nodes) -> None:
    path = "/api/v1/capture/nodes"
    status, body = _as_nobody(nodes.console.url + path)
    assert status == 403
    assert "packets are for who started this console" in json.loads(body)["error"]["message"]
    settings = ConsoleSettings(NOWHERE, "secret", agents=nodes.urls, agent_token=TOKEN, token=CONSOLE_TOKEN)
    with running_console(settings) as console:
        assert _as_nobody(console.url + path)[0] == 401
        assert _as_nobody(console.url + path, "--header", f"Authorization: Bearer {CONSOLE_TOKEN}")[0] == 200
