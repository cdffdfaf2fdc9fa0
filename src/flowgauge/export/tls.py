# SPDX-License-Identifier: Apache-2.0
"""The TLS of an exporter (RFC 7011 §11): the receiver's certificate is checked unless somebody says otherwise."""

from __future__ import annotations

import select
import socket
import ssl
import time

from flowgauge.errors import UsageError
from flowgauge.export.settings import TlsSettings

VERDICT_S = 1.0
"""How long a receiver has to refuse our certificate."""


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer as ``settings`` say; UsageError for files that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    except OSError as error:
        raise UsageError(f"{settings.options.ca_file} {settings.ca_file}: {_reason(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Since Python 3.13 the default asks of authorities what those made by `openssl req -x509` do not have.
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.certificate:
        try:
            context.load_cert_chain(settings.certificate, settings.key)
        except OSError as error:
            raise UsageError(f"{settings.options.certificate} {settings.certificate}: {_reason(error)}") from error
    return context


def agreed(context: ssl.SSLContext, connection: socket.socket, name: str) -> ssl.SSLSocket:
    """``connection`` once both sides agree; OSError, ssl.SSLError among them, when they do not.

    In TLS 1.3 our side of the handshake ends before the receiver has looked at our certificate (RFC 8446 §2), and what is sent
    meanwhile is acknowledged by its machine, though nobody reads it. So its word is waited for: a session ticket, which comes
    after that (§4.6.1), or a refusal. A receiver that sends no tickets gets ``VERDICT_S``.
    """
    ours = context.wrap_socket(connection, server_hostname=name)
    if ours.version() == "TLSv1.3":
        try:
            _await_word(ours)
        except BaseException:
            ours.close()  # `connection` is it no more
            raise
    return ours


def _await_word(ours: ssl.SSLSocket) -> None:
    until, allowed_s = time.monotonic() + VERDICT_S, ours.gettimeout()
    ours.setblocking(False)
    poll = select.poll()  # takes descriptors of any number, as an agent of thousands of devices has them
    poll.register(ours, select.POLLIN)
    while not (ours.session and ours.session.has_ticket) and (left := until - time.monotonic()) > 0:
        poll.poll(left * 1000)
        try:
            if not ours.recv(4096):
                raise ConnectionResetError("the receiver ended the connection")
        except ssl.SSLWantReadError:
            pass
    ours.settimeout(allowed_s)


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "it holds no usable certificate, or the key does not fit"
    return error.strerror or str(error)
