# SPDX-License-Identifier: Apache-2.0
"""Receives flows of NetObserv's eBPF agents by gRPC: ``pbflow.Collector/Send``, in clear or over TLS.

Each call carries up to some ten thousand flows, and is answered when they are in the spool: an agent that gets no answer sends
again. A bounded number of calls and bytes wait for the decoder; beyond it calls are refused as "resource exhausted", counted,
and the agent waits.
"""

from __future__ import annotations

import queue
import threading
from concurrent import futures
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote

import grpc
import numpy as np

from flowgauge.collector.listener_state import ListenerState
from flowgauge.collector.relayed import Relayed, RelayedMessages, Road
from flowgauge.collector.senders import AllowList, Refusals
from flowgauge.collector.tls import NOT_NAMED, TlsFiles, accepts, server_context
from flowgauge.config.model import Listener, Tls
from flowgauge.errors import EnvironmentProblem
from flowgauge.flow.addresses import packed
from flowgauge.runtime import logs
from flowgauge.runtime.clock import now_ns
from flowgauge.runtime.ledger import Ledger
from flowgauge.wire.pbflow.decoder import PbflowDecoder
from flowgauge.wire.pbflow.messages import METHOD, REPLY, SERVICE

MAX_CALL_BYTES = 32 << 20
"""Of one call: ten thousand flows take about 2 MiB."""
MAX_CALLS = 16
"""Served at once; each holds a thread until its flows are safe."""
MAX_WAITING_BYTES = 64 << 20
"""Of all calls that wait for the decoder."""
ANSWER_S = 20.0
"""How long a call may wait for the decoder; agents give up after some time of their own and send again."""
STOP_S = 3.0

_log = logs.get("collector")


class GrpcListener:
    """Serves between ``start`` and ``stop``; messages go to ``arrived``."""

    def __init__(
        self,
        host: str,
        settings: Listener,
        arrived: queue.SimpleQueue[Any],
        ledger: Ledger,
        refusals: Refusals,
    ) -> None:
        self._host, self._settings, self._arrived, self._ledger = host, settings, arrived, ledger
        self._refusals = refusals
        self._allow = AllowList(settings.allow)
        self._tls = TlsFiles(settings.tls, _certificates) if settings.tls is not None else None
        self._road = Road(PbflowDecoder())
        self._lock = threading.Lock()
        self._waiting = 0
        self._server: Any = None
        self.address = (host, settings.port)
        """Host and port in use, once it listens."""

    @property
    def name(self) -> str:
        """For people."""
        return f"gRPC {self.address[1]}"

    def start(self) -> None:
        """Listens.

        Raises:
            EnvironmentProblem: the port is taken, the address is none of this machine, or the certificate cannot be used.
        """
        server = grpc.server(
            futures.ThreadPoolExecutor(MAX_CALLS, "receive-grpc"),
            maximum_concurrent_rpcs=MAX_CALLS,
            options=[("grpc.max_receive_message_length", MAX_CALL_BYTES), ("grpc.so_reuseport", 0)],
        )
        method: Any = grpc.unary_unary_rpc_method_handler(self._send)  # bytes in, bytes out: the decode thread parses
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: method}),))
        where = f"[{self._host}]:{self._settings.port}" if ":" in self._host else f"{self._host}:{self._settings.port}"
        try:
            if self._tls is None:
                port = server.add_insecure_port(where)
            else:
                port = server.add_secure_port(where, _credentials(self._tls))
        except RuntimeError as error:
            raise EnvironmentProblem(f"cannot listen on gRPC {where}: {_short(error)}; see spec.collector.listeners") from error
        self.address = (self._host, port)
        server.start()
        self._server = server

    def stop(self) -> None:
        """Takes no more calls and waits for those in hand; safe to call twice."""
        if self._server is not None:
            self._server.stop(STOP_S).wait(STOP_S + 1)
            self._server = None

    def ready(self) -> bool:
        """True while it serves."""
        return self._server is not None

    def state(self) -> ListenerState:
        """How it stands."""
        return ListenerState(self.name, self.address)

    def _send(self, payload: bytes, context: Any) -> bytes:
        """One call; by one of the server's threads."""
        sender, port = _peer(context.peer())
        if not self._allow.open and not self._allow.lets_in(np.frombuffer(sender, np.uint8).reshape(1, 16)).all():
            self._refuse(context, sender, "not in the allow-list")
        if self._tls is not None and not accepts(self._tls.settings, _dns_names(context)):
            self._refuse(context, sender, f"TLS: {NOT_NAMED}")
        if not self._room(len(payload)):
            self._ledger.add("receive_calls_refused", 1)
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the collector is behind; send again")
        safe = threading.Event()
        self._ledger.add("receive_datagrams", 1)
        self._ledger.add("receive_bytes", len(payload))
        message = Relayed(payload, sender, port)
        self._arrived.put(RelayedMessages(self._road, [message], now_ns(), lambda: self._release(len(payload), safe)))
        if not safe.wait(ANSWER_S):
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the collector is behind")
        return REPLY

    def _refuse(self, context: Any, sender: bytes, why: str) -> NoReturn:
        """Ends a call of somebody who may not send."""
        self._ledger.add("receive_refused", 1)
        self._refusals.add(np.frombuffer(sender, np.uint8).reshape(1, 16), f"{self.name}: {why}", now_ns())
        context.abort(grpc.StatusCode.PERMISSION_DENIED, why)
        raise AssertionError  # `abort` does not return

    def _room(self, size: int) -> bool:
        with self._lock:
            if self._waiting and self._waiting + size > MAX_WAITING_BYTES:
                return False
            self._waiting += size
            return True

    def _release(self, size: int, safe: threading.Event) -> None:
        with self._lock:
            self._waiting -= size
        safe.set()


def _certificates(tls: Tls) -> Any:
    """What is shown, and who is believed; OSError or ssl.SSLError when the files do not serve."""
    server_context(tls)  # gRPC would take such files and say nothing
    client_ca = Path(tls.client_ca).read_bytes() if tls.client_ca else None
    return grpc.ssl_server_certificate_configuration(
        [(Path(tls.key).read_bytes(), Path(tls.certificate).read_bytes())], client_ca
    )


def _credentials(files: TlsFiles[Any]) -> Any:
    """TLS of a server; clients need a certificate where an authority for them is named."""
    files.load()
    needed = bool(files.settings.client_ca)
    return grpc.dynamic_ssl_server_credentials(files.current(), files.current, require_client_authentication=needed)


def _dns_names(context: Any) -> list[str]:
    """Those of the certificate that the caller showed."""
    return [name.decode("ascii", "replace") for name in context.auth_context().get("peer_dns", ())]


def _peer(text: str) -> tuple[bytes, int]:
    """Address and port of ``ipv4:192.0.2.1:4711`` or ``ipv6:[2001:db8::1]:4711``, which gRPC may percent-encode."""
    _, _, rest = unquote(text).partition(":")
    host, _, port = rest.rpartition(":")
    try:
        return packed(host.strip("[]").partition("%")[0]), int(port)
    except ValueError:
        return bytes(16), 0


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:120]
