# SPDX-License-Identifier: Apache-2.0
"""One demo on its stage: starts everything, shows what goes on, replaces a pod half-way, ends in order and judges.

One thread does all of it, because the scene's programs end with the thread that started them; supervisors, probes and
questions have threads of their own.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Any

from flowgauge.config.model import Feature, seconds
from flowgauge.demo import past_packets, requirements, scene_file, sidecars
from flowgauge.demo.acts.programme import Truths
from flowgauge.demo.entrance import Entrance
from flowgauge.demo.fault import drop_log, killed
from flowgauge.demo.flow_demo import ROUTE_HOST, WEB
from flowgauge.demo.invitation import Invitation, ssh_line
from flowgauge.demo.link_watch import LinkWatch
from flowgauge.demo.report import packet_heads
from flowgauge.demo.report.checks import Counting, Findings
from flowgauge.demo.report.icmp_errors import IcmpTruth
from flowgauge.demo.report.ledger import Balance
from flowgauge.demo.report.reading import read
from flowgauge.demo.report.score import Score
from flowgauge.demo.report.signals import Signals, Truth
from flowgauge.demo.scene import addresses, counters
from flowgauge.demo.scene.counters import Counted
from flowgauge.demo.scene.translations import Translated, translated
from flowgauge.demo.settings import label_of
from flowgauge.demo.socket_watch import SocketWatch
from flowgauge.demo.stage import Stage
from flowgauge.demo.view import Snapshot, View
from flowgauge.demo.watch import Click, FirstFlow
from flowgauge.errors import EnvironmentProblem, FlowgaugeError, UsageError
from flowgauge.query.completeness import completeness
from flowgauge.query.topology import topology
from flowgauge.run.part import LOOPBACK
from flowgauge.runtime import instance
from flowgauge.runtime.clock import now_ns
from flowgauge.schema.flow_query import FlowQuery, Window

REPLACED_AFTER_S = 45.0
"""When a pod is replaced in a demo without an end."""
_CLICK_AFTER_S = 2.0
_LIVE_ACTS_AFTER_S = 5.0
"""Or as soon as the first flow has a name: what begins then does not make that later."""
_TICK_S = 0.25
_UPDATE_EVERY_S = 1.0
_VIEW_WINDOW_S = 10.0
_SHOWN = 12


class Stopped(Exception):
    """There is nothing to judge: stop was asked for before everything ran, or twice."""


class StopSignal:
    """Set once to end in order, twice to go at once; may be set from any thread."""

    def __init__(self) -> None:
        self.asked, self._again = threading.Event(), threading.Event()

    def ask(self) -> None:
        """The user wants to stop."""
        (self._again if self.asked.is_set() else self.asked).set()

    def refuse_to_go_on(self, *, once: bool) -> None:
        """Raises Stopped when stop was asked for: ``once`` already, or only when it was asked for again."""
        if (self.asked if once else self._again).is_set():
            raise Stopped


class Session:
    """The demo from its first program to its findings.

    Args:
        stage: built.
        undo: gets what ends it all again.
        view: where it tells how it goes.
        stop: when to end.
        started: monotonic time at which the command began, and ``started_ns`` the same as wall time.
        duration_s: None: until ``stop``.
        port: for the user's clicks; 0 chooses.
    """

    def __init__(
        self, stage: Stage, undo: contextlib.ExitStack, view: View, stop: StopSignal, *,
        started: float, started_ns: int, duration_s: float | None, port: int,
    ) -> None:  # fmt: skip
        self._stage, self._undo, self._view, self._stop = stage, undo, view, stop
        self._started, self._started_ms, self._duration_s = started, started_ns // 1_000_000, duration_s
        self._half_s = duration_s / 2 if duration_s else REPLACED_AFTER_S
        self._setup_s = 0.0
        self._replaced = False
        self._translated: list[Translated] = []
        console_url = stage.system.composition.console_url
        self._entrance = Entrance(stage.network.outside, port)
        self._first = FirstFlow(console_url, started)
        self._sockets = SocketWatch(lambda: stage.story.pods.web)
        self._links = LinkWatch(list(stage.network.nodes.values()), stage.system.composition.agent_urls)
        self._heads: bytes | None = None
        self._counted = Counted()
        self._click = Click(console_url, self._entrance, exact=self._counting() is Counting.EXACT)
        for end in (self._entrance.stop, self._first.stop, self._click.stop, self._sockets.stop):
            undo.callback(end)

    def start(self) -> None:
        """Starts parts, servers, load and the user's entrance.

        Raises:
            EnvironmentProblem: something could not be started.
            UsageError: the port for clicks is taken.
            Stopped: the user does not want it any more.
        """
        system, story = self._stage.system, self._stage.story
        self._view.note("starting store, collector, console, an agent on each of three nodes, and PostgreSQL")
        self._first.start()
        system.start(story.database.prepare, self._stop.asked)
        self._stop.refuse_to_go_on(once=True)
        if segments := system.segment_dir():
            self._stage.network.journal.folder(segments)
        self._view.note("starting Django, DNS, and the neighbour nobody expected")
        story.start()
        try:
            self._entrance.start()
        except OSError as error:
            raise UsageError(f"the port for clicks on {LOOPBACK} is taken: {error.strerror}") from error
        self._publish()
        story.start_load()
        self._sockets.start()
        self._setup_s = time.monotonic() - self._started
        self._view.note(f"running after {self._setup_s:.1f} s")
        url, port = system.composition.console_url, self._entrance.port
        self._view.invite(Invitation(url, port, system.log_dir, ssh_line(url, port)).lines())

    def watch(self) -> None:
        """Shows what goes on until it is time to stop; replaces a pod half-way.

        Raises:
            EnvironmentProblem: a part was given up.
        """
        begun = time.monotonic()
        clicked = told = False
        next_update = 0.0
        while not self._stop.asked.wait(_TICK_S):
            elapsed_s = time.monotonic() - begun
            if self._stage.troubles.failed:
                raise EnvironmentProblem(self._stage.troubles.failed)
            if self._first.after_s is not None and not told:
                told = True
                self._view.note(f"first named flow after {self._first.after_s:.1f} s: {_sentence(self._first.row)}")
            if told or elapsed_s >= _LIVE_ACTS_AFTER_S:
                self._stage.story.acts.payments.go_on()
            if elapsed_s >= _CLICK_AFTER_S and not clicked:
                clicked = True
                self._click.start()
            if elapsed_s >= self._half_s and not self._replaced:
                self._replace()
            if self._duration_s and elapsed_s >= self._duration_s:
                return
            if time.monotonic() >= next_update:
                next_update = time.monotonic() + _UPDATE_EVERY_S
                self._update(elapsed_s)

    def finish(self) -> Findings:
        """Ends the load, plays the last acts, lets everything drain and reads what the store holds.

        Raises:
            Stopped: the user does not want to wait for it.
        """
        stage = self._stage
        self._view.close()
        scene = scene_file.read(stage.folder)
        scene_file.remove(stage.folder)
        for kind, packets in killed.end(scene).items():
            self._view.note(f"the fault {kind} was killed and its rule dropped {packets:,} packets until now; it is taken away")
        last = "100 MB, probes and tunnels" if self._looks_into_tunnels() else "100 MB and probes"
        self._view.note(f"stopping the load, then {last}, then the last flows (Ctrl-C skips this)")
        for end in (self._click, self._entrance, self._sockets):
            end.stop()
        stage.story.end_load()
        self._translated = [one for node in stage.network.nodes.values() for one in translated(node.name, node.netns)]
        self._stop.refuse_to_go_on(once=False)
        if stage.settings.spec.exporter.heads.enable:
            past_packets.thaw(stage.system.composition.console_url)
        acts = stage.story.acts.play_last(tunnels=self._looks_into_tunnels())
        self._links.ask()
        if stage.settings.spec.exporter.heads.enable:
            self._heads = past_packets.cut(stage.system.composition.console_url, acts.talk)
        stage.witness.end_all()
        self._stop.refuse_to_go_on(once=False)
        self._counted = stage.story.cluster.counted()
        stage.system.stop_agents()
        stage.witness.agents_ended()
        balance = stage.system.settled()
        self._stop.refuse_to_go_on(once=False)
        self._first.stop()
        stage.story.cluster.truth.write(stage.folder / "truth.jsonl")
        return self._findings(acts, balance)

    def _replace(self) -> None:
        old = self._stage.story.pods.web[-1]
        self._view.note(f"replacing {old.name} ({old.address})")
        successor = self._stage.story.replace_web_pod()
        self._replaced = True
        scene_file.write(self._stage.folder, self._stage.story.cluster)
        self._view.note(f"{successor.address} now belongs to {successor.workload.namespace}/{successor.name}")

    def _update(self, elapsed_s: float) -> None:
        """Shows the present moment; a store that does not answer now may do so the next time."""
        now_ms, store = now_ns() // 1_000_000, self._stage.system.store
        window = Window(now_ms - int(_VIEW_WINDOW_S * 1000), now_ms + 1000)
        try:
            edges = topology(store, FlowQuery(window=window, limit=_SHOWN)).edges
            words = completeness(store, Window(self._started_ms, now_ms + 1000)).words
        except FlowgaugeError as error:
            edges, words = (), str(error)
        coming = "" if self._replaced else f"a pod will be replaced in {max(self._half_s - elapsed_s, 0):.0f} s"
        troubles = self._stage.troubles.restarted[-3:]
        self._view.update(Snapshot(elapsed_s, _VIEW_WINDOW_S, edges, words, troubles, coming))

    def _findings(self, acts: Truths, balance: Balance) -> Findings:
        stage, spec = self._stage, self._stage.settings.spec
        truth, witness = stage.story.cluster.truth, stage.witness
        window = Window(self._started_ms, now_ns() // 1_000_000 + 1000)
        observed = self._sees_pods()
        reading = read(
            stage.system.store,
            window,
            witness.places,
            truth,
            transfer=acts.bulk if observed else None,
            signals=self._signals(acts),
        )
        return Findings(
            counting=self._counting(),
            sampling=spec.exporter.sampling,
            keeps_duplicates=spec.collector.deduplicate != "Drop",
            sees_pods=observed,
            sees_sockets=Feature.RTT in spec.exporter.features and not requirements.without_ebpf(),
            interval_s=seconds(spec.exporter.export_interval),
            setup_s=self._setup_s,
            first_named_flow_s=self._first.after_s,
            visible_s=self._click.after_s,
            nodes=len(stage.network.nodes),
            pods=sum(tenure.kind == "Pod" for tenure in truth.tenures()),
            replaced=self._replaced,
            outside_label=label_of(addresses.CLIENT, spec.collector.enrichment),
            edges=reading.edges,
            accuracy=reading.accuracy,
            identity=reading.identity,
            balance=balance,
            transfer=reading.transfer,
            signals=[*reading.signals, *self._of_nodes(acts)],
        )

    def _of_nodes(self, acts: Truths) -> list[Score]:
        """What no flow says: nodes' own counters, and packet heads where agents keep them."""
        found = self._links.scores(self._stage.system.store, self._started_ms)
        if self._heads is not None:
            found += packet_heads.scores(self._heads, acts.talk.client.place.device, acts.talk.packets)
        return found

    def _signals(self, acts: Truths) -> Signals:
        """The signals' truth, once everything has ended."""
        pods, cluster = self._stage.story.pods, self._stage.story.cluster
        database, counted = pods.database, cluster.counted()
        probed = acts.probed
        tenures = [tenure for tenure in cluster.truth.tenures() if tenure.kind == "Pod"]
        nodes = {tenure.address: tenure.node for tenure in tenures}
        truth = Truth(
            features=self._stage.settings.spec.exporter.features,
            database=database.address,
            database_log=database.processes[0].log_path,
            repeated=counters.tcp_segments_sent(database.place.netns).repeated,
            tenures=tenures,
            pods_repeated=counted.repeated,
            connections=counted.connections,
            within=sidecars.connections(cluster.log_dir, WEB),
            handshakes=acts.payments,
            translated=self._translated,
            readings=self._sockets.readings,
            dns_logs=[pod.processes[0].log_path for pod in pods.dns],
            dropped=drop_log.read(self._stage.folder),
            icmp=IcmpTruth(nodes, (self._counted.icmp, counted.icmp), (probed.probe.address, probed.from_ms), probed.errors),
            tunnelled=acts.tunnelled,
        )
        return Signals(truth)

    def _looks_into_tunnels(self) -> bool:
        """Whether both nodes of a flow in a tunnel tell of it."""
        inner = self._stage.settings.spec.exporter.tunnels == "inner"
        return inner and self._sees_pods() and not requirements.without_ebpf()

    def _sees_pods(self) -> bool:
        return self._stage.witness.sees(self._stage.story.pods.database.place.device)

    def _counting(self) -> Counting:
        spec = self._stage.settings.spec
        if spec.collector.sampling > 1 or (spec.exporter.sampling > 1 and spec.exporter.sampling_mode == "flow"):
            return Counting.FLOWS
        return Counting.PACKETS if spec.exporter.sampling > 1 else Counting.EXACT

    def _publish(self) -> None:
        """Lets every command find this instance."""
        composition = self._stage.system.composition
        running = instance.Instance(
            pid=os.getpid(),
            kind="demo",
            console_url=composition.console_url,
            collector_url=composition.collector_url,
            log_dir=str(self._stage.system.log_dir),
            data_dir=str(self._stage.folder),
            objects_path=str(self._stage.objects_path),
            parts={part.name: part.url for part in composition.parts if part.url},
            extra={
                "click_url": f"http://{LOOPBACK}:{self._entrance.port}/",
                "route_host": ROUTE_HOST,
                "collector": composition.collector_address,
                "agent_token_file": str(self._stage.system.agent_token_file),
            },
        )
        scene_file.write(self._stage.folder, self._stage.story.cluster)
        instance.publish(running)
        self._undo.callback(instance.withdraw)


def _sentence(row: dict[str, Any]) -> str:
    ends = [f"{row.get(f'{end}_namespace', '')}/{row.get(f'{end}_owner', '')}" for end in ("src", "dst")]
    return " → ".join(ends)
