# SPDX-License-Identifier: Apache-2.0
"""What ``flowgauge export ipfix`` was asked, checked, and done: flows from the console's API to a ``FlowExporter``."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flowgauge.cli import units
from flowgauge.cli.api import Api, Params, connect
from flowgauge.cli.endpoint import host_and_port
from flowgauge.cli.export_progress import Progress
from flowgauge.cli.export_source import live_batches, stored_batches
from flowgauge.errors import UsageError
from flowgauge.export.addresses import is_local
from flowgauge.export.counts import Counts
from flowgauge.export.flows import FlowExporter
from flowgauge.export.settings import ExportSettings, FlowProtocol, Transport
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.columns import BY_NAME
from flowgauge.schema.duration import milliseconds
from flowgauge.wire.stored_fields import COMMON

DEFAULT_SINCE = "5m"

_ALWAYS = (*(name for name in COMMON if name != "time_start_ns"), "duration_ns", "src_port", "dst_port", "sampling_rate")
"""Columns without which a flow record says nothing."""


Live = tuple[FlowBatch, int]
"""Flows that arrived, and how many were left out before them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which flows: ``params`` of the API's question, and whether it is about those that arrive."""

    params: Params
    live: bool


def receiver(text: str) -> tuple[str, int]:
    """Host and port of ``--to``; UsageError when one is missing."""
    host, port = host_and_port("--to", text)
    if not host or not port:
        raise UsageError(f"--to {text}: write host and port of the receiver, as collector.example:4739")
    return host, port


def asked(*, filter_: str, since: str, from_: str, until: str, columns: str, duplicates: bool, live: bool) -> Wanted:
    """The question; UsageError says which options do not go together or mean nothing."""
    if live and (since or from_ or until):
        raise UsageError("--live sends what happens now; leave out --since, --from and --until")
    if since and from_:
        raise UsageError("--since is the length of the range up to its end; give it or --from, not both")
    if since:
        milliseconds(since, "--since")
    return Wanted({
        "filter": filter_,
        "since": since or (None if from_ or live else DEFAULT_SINCE),
        "from": units.moment_ms("--from", from_) if from_ else None,
        "to": units.moment_ms("--until", until) if until else None,
        "columns": _columns(columns),
        "duplicates": "true" if duplicates else None,
    }, live)  # fmt: skip


def _columns(text: str) -> str:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in BY_NAME:
            raise UsageError(f"--columns: there is no column {name!r}")
    return ",".join(dict.fromkeys((*_ALWAYS, *names))) if names else ""


def run(settings: ExportSettings, wanted: Wanted, url: str, token_file: Path | None) -> int:
    """Sends, and says at the end what became of the flows: the exit status."""
    settings.check()
    api = connect(url, token_file)
    if not url:
        _refuse_own_collector(settings)
    exporter = FlowExporter(settings)
    try:
        _sent(exporter, api, wanted)
    finally:
        exporter.close()
        _say(summary(exporter.counts, settings))
    return 0


def _sent(exporter: FlowExporter, api: Api, wanted: Wanted) -> None:
    exporter.start()
    if not wanted.live:
        with stored_batches(api, wanted.params) as (count, batches), Progress(count) as progress:
            for batch in batches:
                exporter.send(batch)
                progress.at(exporter.counts.offered)
            exporter.finish()
        return
    _say("sending flows as they arrive; Ctrl-C ends it")
    for batch, skipped in _until_asked_to_stop(live_batches(api, wanted.params)):
        if skipped:
            _say(f"{units.counted(skipped, 'flow')} left out: the receiver or this machine is too slow")
        exporter.send(batch)
    exporter.finish()


def _until_asked_to_stop(batches: Iterator[Live]) -> Iterator[Live]:
    """The batches until Ctrl-C or SIGTERM, which is their ordinary end; the batch that is being sent then is sent.

    A second Ctrl-C interrupts that, too.
    """
    asked = waiting = False

    def stop(*_: object) -> None:
        nonlocal asked
        if waiting or asked:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not asked:
            waiting = True
            batch = next(batches)
            waiting = False
            yield batch
    except KeyboardInterrupt:
        if not waiting:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _refuse_own_collector(settings: ExportSettings) -> None:
    """Flows that come back would be counted again, and of live ones each would come back again."""
    from flowgauge.runtime.instance import find

    instance = find()
    own = instance.extra.get("collector", "") if instance else ""
    if not own or host_and_port("collector", own)[1] != settings.port or settings.transport is not Transport.UDP:
        return
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_DGRAM)
    except OSError:
        return  # the transport says it better
    if any(is_local(str(one[4][0])) for one in found):
        raise UsageError(f"{settings.where} is the collector that these flows come from: it would count them again")


def summary(counts: Counts, settings: ExportSettings) -> str:
    """One sentence on what became of the flows."""
    how = "NetFlow v9" if settings.protocol is FlowProtocol.NETFLOW9 else "IPFIX"
    parts = [f"{units.counted(counts.offered, 'flow')}: {units.number(counts.sent)} sent to {settings.where} as {how}"]
    parts.append(f"{units.number(counts.failed)} failed")
    if counts.repeated:
        parts.append(f"{units.number(counts.repeated)} sent again after a lost connection (the receiver may have them twice)")
    return ", ".join(parts)


def _say(sentence: str) -> None:
    print(f"flowgauge: {sentence}", file=sys.stderr, flush=True)
