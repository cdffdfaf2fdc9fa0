# SPDX-License-Identifier: Apache-2.0
"""One machine's Flowgauge between start and stop: composes its parts, supervises them, goes over to a changed document."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from flowgauge.collector.added_elements import added_elements
from flowgauge.config.effective import Flag, effective
from flowgauge.config.environment import as_environment
from flowgauge.config.model import Spec
from flowgauge.config.storage import StorageType
from flowgauge.errors import UsageError
from flowgauge.run import machine
from flowgauge.run.change import Change, change
from flowgauge.run.compose import AgentPlace, Composition, Plan, compose
from flowgauge.run.part import PartStatus, free_port
from flowgauge.run.supervisor import Supervisor
from flowgauge.runtime import instance
from flowgauge.runtime.instance import Instance
from flowgauge.runtime.loopback import is_loopback
from flowgauge.store.secret import new_secret

COLLECTOR_HTTP_PORT = 9055
AGENT_HTTP_PORT = 9056


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says.

    Attributes:
        document: None: the defaults.
        data_dir: None: /var/lib/flowgauge for root, else the user's data folder.
        objects: Kubernetes objects for names.
        listen: host and port of the collector over the document's; an empty host or port 0: the document's.
        agent: False: none, whatever the document says.
        node: this machine's name; empty: the host name.
        flags: settings over environment and document.
        store_password: of a ClickHouse server.
    """

    document: Path | None = None
    data_dir: Path | None = None
    objects: Path | None = None
    listen: tuple[str, int] = ("", 0)
    agent: bool = True
    node: str = ""
    flags: tuple[Flag, ...] = ()
    store_password: str = field(default="", repr=False)


class System:
    """The parts of this machine.

    Args:
        options: the command line.
        listener: told of each part's change of state, from the supervisor's thread.
    """

    def __init__(self, options: RunOptions, listener: Callable[[PartStatus], None]) -> None:
        self._options, self._listener = options, listener
        self.settings = effective(options.document, options.flags)
        self.no_agent = ""
        self.token_file = ""
        self._agent_token_file = Path()
        self.composition: Composition | None = None
        self._kept: Plan | None = None
        self._supervisor: Supervisor | None = None

    def start(self) -> Composition:
        """Starts everything and publishes the state file.

        Raises:
            UsageError: an instance of this user runs already.
            EnvironmentProblem: a part failed; the message holds its last words.
        """
        running = instance.find()
        if running is not None and running.pid != os.getpid() and _is_ours(running.pid):
            raise UsageError(f"`flowgauge {running.kind}` runs already (process {running.pid}); stop it first")
        self._kept = self._first_plan()
        composition = compose(self.settings.spec, self._plan(self.settings.spec))
        self._supervisor = Supervisor(composition.parts, self._kept.log_dir, self._listener)
        self._supervisor.start()
        self._publish(composition)
        return composition

    def apply(self) -> tuple[Change, str]:
        """Reads document and environment again and goes over to them: what changed, and what went wrong (or empty).

        Raises:
            UsageError: the document, or a file that it names, cannot be read or has problems; what runs stays as it was.
        """
        assert self.composition is not None  # noqa: S101 - started
        assert self._supervisor is not None  # noqa: S101 - started
        wanted = effective(self._options.document, self._options.flags)
        added_elements(wanted.spec.collector)  # the collector would only log what is wrong with them
        composition = compose(wanted.spec, self._plan(wanted.spec))
        steps = change((self.settings, self.composition), (wanted, composition))
        self.settings = wanted
        problem = self._supervisor.change(composition.parts, steps.restart, steps.reread)
        self._publish(composition)
        return steps, problem

    def problem(self) -> str:
        """Why the whole cannot go on; empty while it can."""
        return self._supervisor.problem() if self._supervisor else ""

    def stop(self) -> None:
        """Stops the parts, last started first, each draining into those before it; safe to call twice."""
        if self._supervisor is not None:
            self._supervisor.stop()
            instance.withdraw()
            self._supervisor = None

    @property
    def log_dir(self) -> Path:
        """Folder of the parts' logs."""
        return self._started_plan.log_dir

    @property
    def data_dir(self) -> Path:
        """Folder of flows, logs and state."""
        return self._started_plan.data_dir

    @property
    def _started_plan(self) -> Plan:
        assert self._kept is not None  # noqa: S101 - started
        return self._kept

    def _first_plan(self) -> Plan:
        """What stays the same while the document changes."""
        options = self._options
        folder = machine.data_dir(options.data_dir)
        token, self._agent_token_file = machine.kept_token(folder, "agent")
        return Plan(
            document=options.document.resolve() if options.document else None,
            data_dir=folder,
            runtime_dir=folder,
            objects=options.objects,
            collector_port=free_port(socket.SOCK_DGRAM),
            console_port=free_port(),
            collector_http_port=machine.port_or_free(COLLECTOR_HTTP_PORT),
            store_port=free_port(),
            store_secret=new_secret(),
            agent_token=token,
            agents_optional=True,
            agents=(AgentPlace(options.node or socket.gethostname(), http_port=machine.port_or_free(AGENT_HTTP_PORT)),),
            env=as_environment({flag.path: flag.value for flag in options.flags}),
        )

    def _plan(self, spec: Spec) -> Plan:
        """The plan for one state of the document."""
        kept = self._started_plan
        self.no_agent = machine.why_no_agent(spec) if self._options.agent else "--no-agent"
        host, port = self._options.listen
        token = ""
        self.token_file = ""
        if spec.console_plugin.enable and not is_loopback(spec.console_plugin.address):
            token, path = machine.kept_token(kept.data_dir, "console")
            self.token_file = str(path)
        server = spec.storage.type is StorageType.CLICKHOUSE
        return replace(
            kept,
            agents=() if self.no_agent else kept.agents,
            collector_host=host,
            collector_port=port or spec.collector.port or kept.collector_port,
            console_port=spec.console_plugin.port or kept.console_port,
            console_token=token,
            store_secret=self._options.store_password if server else kept.store_secret,
        )

    def _publish(self, composition: Composition) -> None:
        self.composition = composition
        kept = self._started_plan
        instance.publish(
            Instance(
                pid=os.getpid(),
                kind="run",
                console_url=composition.console_url,
                collector_url=composition.collector_url,
                log_dir=str(kept.log_dir),
                data_dir=str(kept.data_dir),
                objects_path=str(kept.objects or ""),
                parts={part.name: part.url for part in composition.parts},
                extra={
                    "document": str(kept.document or ""),
                    "collector": composition.collector_address,
                    "console_token_file": self.token_file,
                    "agent_token_file": str(self._agent_token_file),
                },
            )
        )


def _is_ours(pid: int) -> bool:
    """Whether a process is the calling user's: others may run an instance of their own beside it."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid == os.geteuid()
    except OSError:
        return False
