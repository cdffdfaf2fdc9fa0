# SPDX-License-Identifier: Apache-2.0
"""`flowgauge demo fault KIND`: each in turn on one demo is said by `flowgauge troubles`; the demo's checks hold afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo_kit import FAULT_ENDS_WITHIN_S, FLOWGAUGE, READY_WITHIN_S, TIMELY, Demo, Fault

pytestmark = [
    pytest.mark.root, pytest.mark.bpf, pytest.mark.slow,
    pytest.mark.tool("ip", "nft", "tc", "iptables", "dnsmasq", "initdb", "bpftool"),
]  # fmt: skip

SEEN_WITHIN_S = 120.0

_OF_A_FAULT = re.compile(r"fault_|NFQUEUE|qdisc tbf|mtu 600 ")
"""Nothing that can be part of a pod's name, whose end is random."""

FAULTS = [
    ("delay", "port = 5432", r"round trips between django-psql-example and postgresql:5432 take \d+ ms \(were"),
    (
        "slow-server",
        "port = 5432",
        r"postgresql:5432 takes \d+ ms \(were .*\) to answer django-psql-example: time on the server",
    ),
    ("slow-dns", "port = 53", r"DNS answers of dns-default:53 to django-psql-example take \d+ ms \(were"),
    ("no-listener", "port = 5433", r"nobody listens at postgresql:5433: \d+ connections? of django-psql-example refused"),
    ("loss", "port = 5432", r"django-psql-example and postgresql:5432 .*kernel of node-c drops them: NETFILTER_DROP \(a rule"),
    (
        "policy-drop",
        "port = 5432",
        r"(stock-report and postgresql:5432|postgresql:5432 has not answered stock-report).* of node-c drops them: NETFILTER",
    ),
    ("slow-reader", "port = 9100", r"bulk-receiver:9100 reads too slowly what bulk-sender sends"),
    ("queue", "port = 9100", r"bulk-receiver:9100.* kernel of node-b drops them: QDISC_DROP \(the queue"),
    ("mtu", "port = 9100", r"bulk-receiver:9100.* kernel of node-b drops them: PKT_TOO_BIG \(larger than the MTU"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report") / "report.json"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, report: Path) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("demo"), "--report", str(report))
    try:
        running.await_running()
        running.wait_for(lambda: "now belongs to" in running.said(), "a pod replaced", READY_WITHIN_S)
        yield running
    finally:
        running.close()


def _disturbed(demo: Demo) -> list[str]:
    """What of faults is in the scene's namespaces: rules, queues, MTUs."""
    found = []
    for netns in demo.made().namespaces:
        if not Path("/run/netns", netns).exists():
            continue
        for command in (["nft", "list", "ruleset"], ["iptables", "-S"], ["tc", "qdisc"], ["ip", "link"]):
            done = subprocess.run(["ip", "netns", "exec", netns, *command], capture_output=True, text=True, check=True)
            found += [f"{netns}: {line}" for line in done.stdout.splitlines() if _OF_A_FAULT.search(line)]
    return found


@pytest.mark.parametrize(("kind", "asked", "words"), FAULTS, ids=[kind for kind, *_ in FAULTS])
def test_a_fault_is_said_in_words_and_leaves_nothing(demo: Demo, kind: str, asked: str, words: str) -> None:
    begun = time.monotonic()
    fault = Fault(demo, kind)
    since = ""

    def is_said() -> bool:
        """By a range that holds the fault and some time before it."""
        nonlocal since
        since = f"{max(45, int(time.monotonic() - begun) + 45)}s"
        done = demo.run("troubles", asked, "--since", since)
        assert done.returncode == 0, done.stderr
        return re.search(words, done.stdout) is not None

    def the_console_says_it() -> bool:
        """Soon as well: it is asked later, and what is long now is measured anew each time."""
        edges = demo.api("topology", since=since, filter=asked)["edges"]
        return any(re.search(words, one["words"]) for edge in edges for one in edge["troubles"])

    try:
        assert fault.first_line.startswith(f"{kind}: "), fault.first_line
        assert f"see: flowgauge troubles '{asked}'" in fault.first_line
        demo.wait_for(is_said, f"said to be {words!r}", SEEN_WITHIN_S)
        demo.wait_for(the_console_says_it, f"said to be {words!r} by the console", SEEN_WITHIN_S)
    finally:
        status, rest = fault.end()
    assert (status, rest) == (0, f"{kind}: removed\n")
    assert _disturbed(demo) == []


def test_a_fault_ends_by_itself(demo: Demo) -> None:
    done = demo.run("demo", "fault", "loss", "--for", "1s")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loss: removed"
    assert _disturbed(demo) == []


def test_two_faults_that_drop_packets_are_there_at_once_and_a_second_of_a_kind_is_refused(demo: Demo) -> None:
    """Both end in order, and the checks at the end count what either dropped."""
    first, second = Fault(demo, "loss"), Fault(demo, "policy-drop")
    try:
        again = demo.run("demo", "fault", "loss")
        assert (again.returncode, again.stdout) == (2, "")
        assert again.stderr.splitlines() == [
            "flowgauge: the fault loss is in the demo already: end that one first, or choose another kind"
        ]
    finally:
        ends = [first.end(), second.end()]
    assert ends == [(0, "loss: removed\n"), (0, "policy-drop: removed\n")]
    assert _disturbed(demo) == []


def test_a_fault_that_was_killed_leaves_its_rule_and_the_next_of_its_kind_takes_it_over(demo: Demo) -> None:
    """What the rule dropped is told by whoever takes it away; the last one is left to the demo, whose checks are below."""
    for _ in range(2):
        fault = Fault(demo, "policy-drop")
        try:
            demo.wait_for(lambda: _dropped_by_policy(demo) > 0, "a packet that the rule dropped", SEEN_WITHIN_S)
        finally:
            fault.process.kill()
            fault.process.wait()
        assert _dropped_by_policy(demo) > 0


def _dropped_by_policy(demo: Demo) -> int:
    """Packets, by the counter of the rule."""
    for netns in demo.made().namespaces:
        listed = ["ip", "netns", "exec", netns, "nft", "list", "counters", "table", "ip", "fault_policy_drop"]
        done = subprocess.run(listed, capture_output=True, text=True, check=False)
        if done.returncode == 0 and (found := re.search(r"packets (\d+)", done.stdout)):
            return int(found[1])
    return 0


def test_what_is_asked_wrongly_is_one_sentence(demo: Demo, tmp_path: Path) -> None:
    for arguments, words in (
        (("earthquake",), "there is no fault 'earthquake'; there are delay, loss"),
        ((), "which fault? `flowgauge demo fault --list` shows them"),
        (("loss", "--for", "soon"), "--for"),
    ):
        done = demo.run("demo", "fault", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
    alone = subprocess.run(
        [str(FLOWGAUGE), "demo", "fault", "loss"], env={**os.environ, "FLOWGAUGE_RUNTIME_DIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (alone.returncode, "no demo is running" in alone.stderr) == (2, True)


def test_faults_do_not_spoil_the_demos_checks(demo: Demo, report: Path) -> None:
    """One is still there when the demo ends: it goes first. Counts stay exact, and drops are those that nftables counted."""
    fault = Fault(demo, "loss")
    time.sleep(3)
    demo.stop(signal.SIGINT)
    rest, _ = fault.process.communicate(timeout=FAULT_ENDS_WITHIN_S)
    assert rest == "loss: removed, since the demo ends\n"
    assert re.search(r"the fault policy-drop was killed and its rule dropped [\d,]+ packets until now", demo.said())
    found = json.loads(report.read_text())
    assert [check for check in found["checks"] if not check["held"] and check["name"] not in TIMELY] == []
    scores = {score["name"]: score for score in found["signals"]}
    assert scores["packets dropped by rules"]["truth"] > 0
    assert scores["packets dropped by rules"]["held"], scores
    assert scores["names asked of DNS"]["held"], scores
    assert scores["segments sent again by pods"]["truth"] > 0
