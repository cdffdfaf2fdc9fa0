# SPDX-License-Identifier: Apache-2.0
"""``flowgauge tee``: flow exports, passed on unchanged to several collectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flowgauge.cli.options import LogLevel

if TYPE_CHECKING:
    from flowgauge.export.outlets import Receiver
    from flowgauge.flow.prefixes import Prefix

DEFAULT_BUFFER_MIB = 32


def tee(
    to: Annotated[list[str], typer.Option(metavar="HOST:PORT", help="Who gets each datagram; once for each receiver.")],
    *,
    listen: Annotated[str, typer.Option(help="UDP HOST:PORT, [IPV6]:PORT or :PORT; without HOST on 127.0.0.1.")] = ":2055",
    allow: Annotated[
        list[str] | None, typer.Option(metavar="BLOCK", help="Pass on datagrams of these senders only: 10.0.0.0/8.")
    ] = None,
    keep_source: Annotated[
        bool, typer.Option("--keep-source", help="Let receivers see the sender's address instead of ours (root).")
    ] = False,
    receive_buffer: Annotated[int, typer.Option(min=1, max=1023, help="Receive buffer, MiB.")] = DEFAULT_BUFFER_MIB,
    http_address: Annotated[str, typer.Option(help="Where metrics and health listen.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="Their port; 0 takes a free one.")] = 9057,
    log_level: LogLevel = "info",
) -> int:
    r"""Passes every datagram on, unchanged, to several collectors; of whatever protocol.

    Nothing is kept in between: what a receiver does not take is counted and gone, and costs the others nothing. Receivers see
    our address as the sender's. With --keep-source they see the device's own, as if it had sent to each of them: needed where a
    collector tells devices apart by address (NetFlow v5, v9, IPFIX). Their network must let such datagrams in, and a receiver
    on this machine takes them only while net.ipv4.conf.*.rp_filter does not refuse them.

    A receiver that is our own port is refused, and so are datagrams that come from a receiver, unless --allow names it: both
    would go round for ever. SIGTERM and Ctrl-C pass on what has come and end.

    Examples:
      flowgauge tee --listen 0.0.0.0:2055 --to 192.0.2.7:2055 --to 192.0.2.8:9995
      flowgauge tee --listen 192.0.2.1:2055 --allow 10.0.0.0/8 \
        --to [2001:db8::7]:2055
      sudo flowgauge tee --listen 0.0.0.0:2055 --to 192.0.2.7:2055 --keep-source
    """
    from flowgauge.cli.endpoint import host_and_port
    from flowgauge.cli.tee_run import run
    from flowgauge.collector.udp_socket import UdpSocket

    host, port = host_and_port("--listen", listen)
    inlet = UdpSocket(host or "127.0.0.1", 2055 if port is None else port, receive_buffer << 20)
    return run(
        inlet, [_receiver(one) for one in to], [_block(one) for one in allow or ()], keep_source=keep_source,
        http=(http_address, http_port), log_level=log_level,
    )  # fmt: skip


def _receiver(text: str) -> Receiver:
    from flowgauge.cli.endpoint import host_and_port
    from flowgauge.errors import UsageError
    from flowgauge.export.outlets import Receiver

    host, port = host_and_port("--to", text)
    if not host or not port:
        raise UsageError(f"--to {text}: write host and port of the receiver, as 192.0.2.7:2055")
    return Receiver.of(host, port)


def _block(text: str) -> Prefix:
    from flowgauge.errors import UsageError
    from flowgauge.flow.prefixes import prefix

    try:
        return prefix(text)
    except ValueError:
        raise UsageError(f"--allow {text}: write an address or a block, as 10.0.0.0/8") from None
