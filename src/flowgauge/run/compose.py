# SPDX-License-Identifier: Apache-2.0
"""From a document to the processes of one machine: store, collector, agents, console, in start order.

Pure but for asking the kernel for free ports: every URL is known before anything starts. Called by ``run/main.py``, the demo
and tests; the supervisor runs what comes out.
"""

from __future__ import annotations

import ipaddress
import math
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flowgauge.config.groups import stored_groups
from flowgauge.config.model import Collector, Spec, seconds
from flowgauge.config.storage import StorageType
from flowgauge.errors import UsageError
from flowgauge.run.part import LOOPBACK, Part, free_port
from flowgauge.store.secret import new_secret, reader_key


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """One agent.

    Attributes:
        node: its name, as in ``kubectl get nodes``; also in the part's name, ``agent-NODE``.
        netns: network namespace that stands for the node; empty: this machine's own.
        http_port: where its metrics are; 0 takes a free one.
    """

    node: str
    netns: str = ""
    http_port: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What the document does not say: places, ports and secrets on this machine. A port of 0 takes a free one.

    Attributes:
        document: file that the parts read, and read again at SIGHUP; None: the defaults.
        data_dir: holds ``store/`` and ``spool/``.
        runtime_dir: holds ``logs/``.
        agents: none when nothing observes here.
        objects: Kubernetes objects for names, as ``kubectl get -o json`` prints them or a followed event log.
        collector_port, collector_host: UDP listener; an empty host is chosen from the document (see ``listen_host``).
        console_port, collector_http_port, store_port: TCP.
        store_secret: password of a ClickHouse server, or the embedded store's secret; empty: a fresh one for the latter.
        console_token: what the console asks of clients; empty: nothing.
        agent_token: what agents ask of who wants packet headers; empty: nobody gets any.
        agents_optional: whether the rest goes on when an agent cannot run.
        env: added to every part's environment.
    """

    document: Path | None
    data_dir: Path
    runtime_dir: Path
    agents: tuple[AgentPlace, ...] = ()
    objects: Path | None = None
    collector_port: int = 0
    collector_host: str = ""
    console_port: int = 0
    collector_http_port: int = 0
    store_secret: str = field(default="", repr=False)
    console_token: str = field(default="", repr=False)
    agent_token: str = field(default="", repr=False)
    store_port: int = 0
    agents_optional: bool = False
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def log_dir(self) -> Path:
        """Folder with one log file per part."""
        return self.runtime_dir / "logs"


@dataclass(frozen=True, slots=True)
class Composition:
    """The parts in start order, and where each is.

    Attributes:
        parts: for ``Supervisor``.
        collector_url, console_url, store_url: base URLs without a trailing slash; ``console_url`` is empty without a console.
        secret: the store's: all rights.
        agent_urls: node → base URL of the agent's own HTTP.
        listen_address: HOST:PORT at which the collector listens; every address of the machine as ``0.0.0.0`` or ``[::]``.
        collector_address: the same as this machine's own exporters reach it.
    """

    parts: tuple[Part, ...]
    collector_url: str
    console_url: str
    store_url: str
    secret: str = field(repr=False)
    agent_urls: Mapping[str, str]
    listen_address: str
    collector_address: str


def compose(spec: Spec, plan: Plan) -> Composition:
    """The processes that ``spec`` asks for on one machine.

    Raises:
        UsageError: the document chooses namespaces or pods, and there are no objects by which agents would know them.
    """
    if plan.agents and spec.exporter.chooses_pods and plan.objects is None:
        raise UsageError("spec.exporter.namespaces and pods choose by Kubernetes objects: give --kubernetes-objects PATH")
    own_store = spec.storage.type is not StorageType.CLICKHOUSE
    secret = (plan.store_secret or new_secret()) if own_store else plan.store_secret
    store_url = f"http://{LOOPBACK}:{plan.store_port or free_port()}" if own_store else spec.storage.address
    host = plan.collector_host or listen_host(spec.collector)
    udp_port = plan.collector_port or free_port(socket.SOCK_DGRAM)
    collector_url = f"http://{LOOPBACK}:{plan.collector_http_port or free_port()}"
    console_port = plan.console_port or free_port()
    console_url = f"http://{_reached_at(spec.console_plugin.address)}:{console_port}" if spec.console_plugin.enable else ""
    listens, target = f"{_bracketed(host)}:{udp_port}", f"{_reached_at(host)}:{udp_port}"
    agents = [_agent(place, target, plan) for place in plan.agents]
    agent_urls = {place.node: part.url for place, part in zip(plan.agents, agents, strict=True)}
    parts = [
        *([_store(spec, plan, store_url, secret)] if own_store else []),
        _collector(plan, listens, collector_url, store_url, secret),
        *agents,
    ]
    if console_url:
        behind = _Behind(store_url, collector_url, agent_urls, reader_key(secret) if own_store else secret)
        parts.append(_console(spec, plan, console_url, behind))
    return Composition(
        parts=tuple(parts), collector_url=collector_url, console_url=console_url, store_url=store_url, secret=secret,
        agent_urls=agent_urls, listen_address=listens, collector_address=target,
    )  # fmt: skip


def listen_host(collector: Collector) -> str:
    """Where the collector of one machine listens: the document's address when that is an address, else loopback.

    A name such as NAME.NAMESPACE.svc is a cluster's; here only this machine's agents send until the user says otherwise.
    """
    try:
        return str(ipaddress.ip_address(collector.address.strip("[]")))
    except ValueError:
        return LOOPBACK


@dataclass(frozen=True, slots=True)
class _Behind:
    """What the console asks."""

    store_url: str
    collector_url: str
    agent_urls: Mapping[str, str]
    reader_key: str = field(repr=False)


def _command(verb: str, *arguments: str) -> tuple[str, ...]:
    # -P: the folder in which the user happens to be must not be searched for modules.
    return (sys.executable, "-P", "-m", "flowgauge.cli.main", verb, *arguments)


def _file(plan: Plan) -> tuple[str, ...]:
    return ("--file", str(plan.document)) if plan.document else ()


def _env(plan: Plan) -> dict[str, str]:
    # A part's log is for whoever looks for a mistake of ours.
    return {"FLOWGAUGE_TRACEBACK": "1", **plan.env}


def _store(spec: Spec, plan: Plan, url: str, secret: str) -> Part:
    storage = spec.storage
    argv = _command(
        "store",
        *("--data-dir", str(plan.data_dir / "store")),
        *("--port", url.rpartition(":")[2]),
        *("--retention-hours", str(math.ceil(seconds(storage.retention) / 3600))),
        *("--memory-mib", str(storage.max_memory_bytes >> 20)),
        *("--groups", ",".join(stored_groups(spec))),
        *_file(plan),
    )
    return Part("store", argv, ready_url=f"{url}/ping", url=url, secrets={"--secret-fd": secret}, env=_env(plan))


def _collector(plan: Plan, listen: str, url: str, store_url: str, secret: str) -> Part:
    argv = _command(
        "collect",
        *_file(plan),
        *("--data-dir", str(plan.data_dir)),
        *("--listen", listen),
        *("--store-url", store_url),
        *("--http-port", url.rpartition(":")[2]),
        *(("--kubernetes-objects", str(plan.objects)) if plan.objects else ()),
    )
    return Part(
        "collector", argv, ready_url=f"{url}/readyz", url=url, secrets=_secret("--store-secret-fd", secret), env=_env(plan)
    )


def _agent(place: AgentPlace, target: str, plan: Plan) -> Part:
    url = f"http://{LOOPBACK}:{place.http_port or free_port()}"
    argv = _command(
        "agent",
        *_file(plan),
        *("--collector", target),
        *("--node", place.node),
        *("--http-port", url.rpartition(":")[2]),
        *(("--netns", place.netns) if place.netns else ()),
        *(("--kubernetes-objects", str(plan.objects)) if plan.objects else ()),
    )
    return Part(
        f"agent-{place.node}", argv, ready_url=f"{url}/readyz", url=url, secrets=_secret("--token-fd", plan.agent_token),
        env=_env(plan), asked_again=True, optional=plan.agents_optional,
    )  # fmt: skip


def _console(spec: Spec, plan: Plan, url: str, behind: _Behind) -> Part:
    agents = behind.agent_urls if plan.agent_token else {}
    argv = _command(
        "console",
        *("--store-url", behind.store_url),
        *("--collector-url", behind.collector_url),
        *("--address", spec.console_plugin.address),
        *("--port", url.rpartition(":")[2]),
        *(word for node, agent_url in agents.items() for word in ("--agent", f"{node}={agent_url}")),
        *_file(plan),
    )
    secrets = {
        **_secret("--store-secret-fd", behind.reader_key),
        **_secret("--token-fd", plan.console_token),
        **(_secret("--agent-token-fd", plan.agent_token) if agents else {}),
    }
    return Part("console", argv, ready_url=f"{url}/readyz", url=url, secrets=secrets, env=_env(plan))


def _secret(option: str, value: str) -> dict[str, str]:
    return {option: value} if value else {}


def _reached_at(host: str) -> str:
    """How this machine reaches something of its own that listens at ``host``, as it stands in a URL."""
    return _bracketed({"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
