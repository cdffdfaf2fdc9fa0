# SPDX-License-Identifier: Apache-2.0
"""``flowgauge collect``: receives flows, names them and writes them to the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowgauge.cli.options import LogLevel
from flowgauge.cli.rereading import until_told

if TYPE_CHECKING:
    from flowgauge.collector.settings import CollectorSettings
    from flowgauge.config.effective import Flag
    from flowgauge.config.storage import Storage


def collect(  # noqa: PLR0917 - typer passes options by name
    files: Annotated[list[Path] | None, typer.Argument(help="With --read: captures, IPFIX files, payloads, folders.")] = None,
    read: Annotated[bool, typer.Option("--read", help="Read FILES into the store instead of listening, then end.")] = False,
    dataset: Annotated[str, typer.Option(help="With --read: store into this named dataset, which never expires.")] = "",
    file: Annotated[Path | None, typer.Option("--file", "-f", help="FlowCollector document.")] = None,
    listen: Annotated[str, typer.Option(help="UDP HOST:PORT, [IPV6]:PORT or PORT; default: as the document says.")] = "",
    kubernetes_objects: Annotated[
        Path | None, typer.Option(help="Objects that give names: file or folder of `kubectl get -o json`, or an event log.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the spool; default: /var/lib/flowgauge for root, else the user's.")
    ] = None,
    store_url: Annotated[str, typer.Option(help="The store: http://host:port; default: spec.storage.address.")] = "",
    store_secret_fd: Annotated[int, typer.Option(help="Descriptor with the store's secret; -1: none.")] = -1,
    deduplicate: Annotated[str, typer.Option(help="Further observations of the same packets: Mark, Drop or Off.")] = "",
    pen: Annotated[int, typer.Option(min=1, max=0xFFFFFFFF, help="Private enterprise number of our own elements.")] = 32473,
    http_address: Annotated[str, typer.Option(help="Where metrics, API and live tap listen.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of metrics and API; 0 takes a free one.")] = 9055,
    report: Annotated[Path | None, typer.Option(help="Write the last counters there as JSON when stopped.")] = None,
    log_level: LogLevel = "",
) -> int:
    r"""Receives flow exports over UDP, puts names on addresses and writes flows to the store.

    Options win over the environment (FLOWGAUGE_…), that over the document. SIGTERM and Ctrl-C write what was received and
    end; SIGHUP reads the document again.

    Examples:
      flowgauge collect -f flowcollector.yaml \
        --store-url http://127.0.0.1:8123 --store-secret-fd 3 3< secret
        as the document says, into that store

      flowgauge collect --listen 192.0.2.10:2055 \
        --store-url http://127.0.0.1:8123 --store-secret-fd 3 3< secret
        on that address only; without --listen and document on 127.0.0.1:2055

      flowgauge collect -f flowcollector.yaml --kubernetes-objects objects/
        with names from a folder of `kubectl get … -o json` files

      flowgauge collect --read captures/ router.pcap \
        --store-url http://127.0.0.1:8123 --store-secret-fd 3 3< secret
        what `flowgauge decode` reads, into the store; shows how far it is
    """
    from flowgauge.cli.endpoint import host_and_port
    from flowgauge.cli.secret_input import behind
    from flowgauge.config.effective import Flag
    from flowgauge.errors import UsageError
    from flowgauge.run import machine
    from flowgauge.runtime import logs

    host, port = host_and_port("--listen", listen)
    given = [
        Flag("--listen", "spec.collector.port", port),
        Flag("--deduplicate", "spec.collector.deduplicate", deduplicate),
        Flag("--log-level", "spec.logLevels.collector", log_level),
    ]
    flags = tuple(flag for flag in given if flag.value not in ("", None))
    own = {
        "listen_host": host,
        "store_secret": behind("--store-secret-fd", store_secret_fd) if store_secret_fd >= 0 else "",
        "data_dir": machine.data_dir(data_dir),
        "objects": kubernetes_objects,
        "pen": pen,
        "http_address": http_address,
        "http_port": http_port,
        "report_path": report,
    }

    def settings() -> CollectorSettings:
        return _settings(file, flags, store_url, own)

    if read != bool(files):
        raise UsageError("--read and the files to read belong together")
    if dataset and not read:
        raise UsageError("--dataset is where --read stores; what arrives from the network is live")
    first = settings()
    logs.configure(first.log_level)
    stop, changes = until_told("collector", settings)
    if files:
        from flowgauge.cli.collect_files import read_files

        return read_files(first, files, dataset, stop)
    from flowgauge.collector.main import run_collector

    run_collector(first, stop, changes)
    return 0


def _settings(file: Path | None, flags: tuple[Flag, ...], store_url: str, own: dict[str, Any]) -> CollectorSettings:
    """What document, environment and options say together; ConfigError or UsageError when something is wrong."""
    from flowgauge.collector.settings import CollectorSettings
    from flowgauge.config.effective import effective
    from flowgauge.config.groups import stored_groups

    spec = effective(file, flags).spec
    return CollectorSettings(
        store_url=store_url or _documented_store(spec.storage),
        collector=spec.collector,
        storage=spec.storage,
        groups=stored_groups(spec),
        log_level=spec.log_levels.get("collector", spec.log_level),
        **own,
    )


def _documented_store(storage: Storage) -> str:
    """The store's address in the document; UsageError when there is none that this build can write to."""
    from flowgauge.config.storage import StorageType
    from flowgauge.errors import UsageError

    if storage.type is StorageType.CLICKHOUSE and storage.address:
        return storage.address
    if storage.type in (StorageType.EMBEDDED, StorageType.CLICKHOUSE):
        raise UsageError("no store to write to: give --store-url, or let `flowgauge run` start everything")
    raise UsageError(
        f"spec.storage.type is {storage.type}, which this build cannot write to: give --store-url of another store"
    )
