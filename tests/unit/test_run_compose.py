# SPDX-License-Identifier: Apache-2.0
"""From a document to processes: which parts, in which order, with which addresses, and no secret in an argument."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowgauge.cli.main import VERBS, real_command
from flowgauge.config.load import loads
from flowgauge.config.model import Spec
from flowgauge.run.compose import AgentPlace, Composition, Plan, compose, listen_host
from flowgauge.run.part import Part
from flowgauge.store.secret import reader_key

GIVEN = (Path(__file__).parents[1] / "golden/config/given/in.yaml").read_text(encoding="utf-8")
PLAN = Plan(document=Path("doc.yaml"), data_dir=Path("data"), runtime_dir=Path("run"))


def spec(text: str = "spec: {}") -> Spec:
    return loads(text).document.spec


def option(part: Part, name: str) -> str:
    return part.argv[part.argv.index(name) + 1]


def names(composition: Composition) -> list[str]:
    return [part.name for part in composition.parts]


def test_parts_come_in_the_order_in_which_they_need_each_other() -> None:
    plan = Plan(Path("doc.yaml"), Path("data"), Path("run"), agents=(AgentPlace("node-a", "node-a"), AgentPlace("node-b")))
    composition = compose(spec(), plan)
    assert names(composition) == ["store", "collector", "agent-node-a", "agent-node-b", "console"]
    _, collector, agent, _, console = composition.parts
    assert option(agent, "--collector") == composition.collector_address == option(collector, "--listen")
    assert option(agent, "--netns") == "node-a"
    assert option(collector, "--store-url") == option(console, "--store-url") == composition.store_url
    assert option(console, "--collector-url") == composition.collector_url
    assert composition.agent_urls["node-b"] == composition.parts[3].url


def test_the_given_document_on_one_machine_stores_here_and_listens_on_loopback() -> None:
    composition = compose(spec(GIVEN), Plan(Path("doc.yaml"), Path("data"), Path("run"), collector_port=2055))
    assert names(composition) == ["store", "collector", "console"]
    assert composition.collector_address == "127.0.0.1:2055"
    assert option(composition.parts[0], "--retention-hours") == "168"


def test_groups_of_columns_that_the_document_asks_for_are_stored_beside_the_others() -> None:
    stored = [
        option(compose(spec(f"spec: {{{text}}}"), PLAN).parts[0], "--groups").split(",")
        for text in (
            "",
            "storage: {index: {columns: [router, seen, l2]}}",
            "exporter: {features: [process]}",
            "exporter: {features: [macs]}",
        )
    ]
    assert stored == [
        ["icmp", "seen", "signals", "dns"],
        ["icmp", "seen", "signals", "dns", "router", "l2"],
        ["icmp", "seen", "signals", "process"],
        ["icmp", "seen", "signals", "l2"],
    ]


def test_a_clickhouse_server_takes_the_place_of_the_embedded_store() -> None:
    text = "spec: {storage: {type: ClickHouse, address: 'http://clickhouse:8123'}}"
    composition = compose(spec(text), Plan(None, Path("data"), Path("run"), store_secret="password-of-it"))
    assert names(composition) == ["collector", "console"]
    assert composition.store_url == "http://clickhouse:8123"
    assert all(part.secrets["--store-secret-fd"] == "password-of-it" for part in composition.parts)


def test_without_a_console_there_is_none() -> None:
    composition = compose(spec("spec: {consolePlugin: {enable: false}}"), PLAN)
    assert "console" not in names(composition)
    assert composition.console_url == ""


def test_no_argument_or_environment_holds_a_secret_and_the_console_only_reads() -> None:
    composition = compose(spec(), Plan(None, Path("data"), Path("run"), console_token="token-of-console"))
    shown = repr([(part.argv, part.env) for part in composition.parts]) + repr(PLAN)
    assert composition.secret not in shown
    assert reader_key(composition.secret) not in shown
    assert "token-of-console" not in shown
    console = composition.parts[-1]
    assert console.secrets == {"--store-secret-fd": reader_key(composition.secret), "--token-fd": "token-of-console"}


@pytest.mark.parametrize(
    ("address", "host"),
    [("127.0.0.1", "127.0.0.1"), ("192.0.2.1", "192.0.2.1"), ("0.0.0.0", "0.0.0.0"), ("::1", "::1"), ("[::]", "::"),
     ("flow-collector.flow-namespace.svc.cluster.local", "127.0.0.1"), ("localhost", "127.0.0.1")],
)  # fmt: skip
def test_the_collector_listens_where_the_document_says_unless_that_is_a_name(address: str, host: str) -> None:
    collector = spec(f"spec: {{collector: {{address: '{address}'}}}}").collector
    assert listen_host(collector) == host


def test_what_listens_everywhere_is_reached_on_loopback() -> None:
    text = "spec: {collector: {address: '::'}, consolePlugin: {address: 0.0.0.0}}"
    composition = compose(spec(text), Plan(None, Path("data"), Path("run"), collector_port=2055, console_port=8055))
    assert composition.collector_address == "[::1]:2055"
    assert option(composition.parts[1], "--listen") == composition.listen_address == "[::]:2055"
    assert composition.console_url == "http://127.0.0.1:8055"


def test_every_argument_is_an_option_of_its_verb() -> None:
    plan = Plan(
        Path("d.yaml"), Path("data"), Path("run"), agents=(AgentPlace("n", "ns"),), objects=Path("o"), console_token="t"
    )
    verbs = {verb.name: verb for verb in VERBS}
    for part in compose(spec(), plan).parts:
        verb, *arguments = part.argv[part.argv.index("flowgauge.cli.main") + 1 :]
        known = {name for parameter in real_command(verbs[verb]).params for name in parameter.opts}
        given = {word for word in [*arguments, *part.secrets] if word.startswith("--")}
        assert given <= known, part.name
