# SPDX-License-Identifier: Apache-2.0
"""``flowgauge export``: flows on to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowgauge.cli.options import Filter, TokenFile, Url, columns_option
from flowgauge.export.settings import FlowProtocol, Transport

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Sends flows on to others: with names, stored or as they arrive.\n\n"
    "Example:\n\n  flowgauge export ipfix --to collector.example:4739 --since 1h",
)


@app.command()
def ipfix(
    filter_: Filter = None,
    *,
    to: Annotated[str, typer.Option(metavar="HOST:PORT", help="Who receives them.")],
    protocol: Annotated[FlowProtocol, typer.Option(help="What they are encoded as.")] = FlowProtocol.IPFIX,
    transport: Annotated[Transport, typer.Option(help="How they travel; NetFlow v9 over udp only.")] = Transport.UDP,
    since: Annotated[str, typer.Option(help="Length of the time range up to its end: 30s, 5m (default), 2h, 7d.")] = "",
    from_: Annotated[str, typer.Option("--from", help="Start: 2026-01-31T23:59, 23:59, or 10m (ago).")] = "",
    until: Annotated[str, typer.Option(help="End, the same way; now when left out.")] = "",
    live: Annotated[bool, typer.Option("--live", help="Send flows as they arrive, until Ctrl-C or SIGTERM.")] = False,
    columns: Annotated[str, columns_option("Send these columns besides the flow's key and counters; default: all.")] = "",
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Send further observations of the same packets too.")
    ] = False,
    rate: Annotated[int, typer.Option(min=0, help="Flows a second; 0: as fast as the transport's pace allows.")] = 0,
    domain: Annotated[int, typer.Option(min=0, max=0xFFFFFFFF, help="Observation domain.")] = 0,
    pen: Annotated[int, typer.Option(min=1, max=0xFFFFFFFF, help="Private enterprise number of our own elements.")] = 32473,
    mtu: Annotated[int, typer.Option(min=512, max=65_000, help="Longest datagram, bytes.")] = 1400,
    ca_file: Annotated[Path | None, typer.Option(help="TLS: authorities to trust, PEM; default: the system's.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="TLS: our certificate, PEM, for receivers that ask for one.")] = None,
    key: Annotated[Path | None, typer.Option(help="TLS: its key, when it is not in the same file.")] = None,
    server_name: Annotated[str, typer.Option(help="TLS: name in the receiver's certificate; default: HOST.")] = "",
    no_verify: Annotated[bool, typer.Option("--no-verify", help="TLS: take any certificate; anybody can listen then.")] = False,
    url: Url = "",
    token_file: TokenFile = None,
) -> int:
    r"""Sends stored flows, or with --live those that arrive, as IPFIX or NetFlow v9.

    IPFIX carries names of pods, workloads, services, nodes and zones as strings, and latencies and drops as numbers, in
    elements of our own (docs/reference/ipfix-elements.md) with their types (RFC 5610). NetFlow v9 carries none of these:
    it has no enterprise numbers and no strings. Counters are as observed, with the sampling rate beside them.

    Over TCP and TLS a flow counts as sent when the receiver's machine has acknowledged it; over UDP it may still get lost.

    Examples:
      flowgauge export ipfix --to collector.example:4739 --since 1h
      flowgauge export ipfix 'namespace = shop' --to 192.0.2.7:2055 --live
      flowgauge export ipfix --to 192.0.2.7:9995 --protocol netflow9
      flowgauge export ipfix --to collector.example:4740 --transport tls \
        --ca-file ca.pem --certificate me.pem --key me.key --live
    """
    from flowgauge.cli import export_run
    from flowgauge.export.settings import ExportSettings, TlsSettings

    host, port = export_run.receiver(to)
    tls = TlsSettings(not no_verify, ca_file, certificate, key, server_name)
    settings = ExportSettings(
        host, port, protocol, transport, tls, pen=pen, domain=domain, mtu_bytes=mtu, rate_per_s=rate, persistent=live
    )
    wanted = export_run.asked(
        filter_=" ".join(filter_ or ()),
        since=since,
        from_=from_,
        until=until,
        columns=columns,
        duplicates=duplicates,
        live=live,
    )
    return export_run.run(settings, wanted, url, token_file)
