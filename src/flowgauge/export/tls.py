# SPDX-License-Identifier: Apache-2.0
"""The TLS of an exporter (RFC 7011 §11): the receiver's certificate is checked unless somebody says otherwise."""

from __future__ import annotations

import ssl

from flowgauge.errors import UsageError
from flowgauge.export.settings import TlsSettings


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


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "it holds no usable certificate, or the key does not fit"
    return error.strerror or str(error)
