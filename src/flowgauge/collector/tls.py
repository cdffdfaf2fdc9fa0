# SPDX-License-Identifier: Apache-2.0
"""TLS of a listener (RFC 7011 §11): at least 1.2, clients' names checked, certificates read again when their files change."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

from flowgauge.config.model import Tls
from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import logs

LOOK_S = 1.0
"""How often the files are looked at, while connections come."""

_log = logs.get("collector")


class TlsFiles:
    """The context for new connections.

    Args:
        settings: names of files, and of clients.
    """

    def __init__(self, settings: Tls) -> None:
        self._settings = settings
        self._paths = [Path(path) for path in (settings.certificate, settings.key, settings.client_ca) if path]
        self._state: tuple[tuple[int, int, int], ...] = ()
        self._looked_at = 0.0
        self._context: ssl.SSLContext | None = None

    def load(self) -> None:
        """Reads the files; EnvironmentProblem when they do not serve."""
        try:
            self._state = self._look()
            self._context = self._read()
        except (OSError, ssl.SSLError) as error:
            what = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            files = " and ".join(map(str, self._paths))
            raise EnvironmentProblem(f"TLS cannot be served with {files}: {what}") from error

    def context(self) -> ssl.SSLContext:
        """What new connections use; files that were changed to something unusable leave it as it was."""
        assert self._context is not None  # noqa: S101 - `load` comes first
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return self._context
        self._looked_at = now
        try:
            state = self._look()
            if state != self._state:
                self._context = self._read()
                self._state = state
                _log.info("certificate_reloaded", certificate=self._settings.certificate)
        except (OSError, ssl.SSLError) as error:
            _log.warning("certificate_not_reloaded", certificate=self._settings.certificate, error=str(error),
                         detail="the former one stays in use")  # fmt: skip
        return self._context

    def accepts(self, certificate: object) -> bool:
        """Whether a client with this certificate (as ``getpeercert`` gives it) may send."""
        wanted = self._settings.client_names
        if not wanted:
            return True
        names = certificate.get("subjectAltName", ()) if isinstance(certificate, dict) else ()
        return any(_matches(name, pattern) for kind, name in names if kind == "DNS" for pattern in wanted)

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        found = [path.stat() for path in self._paths]
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A key with a passphrase would ask for it on the terminal; there is nobody to answer.
        context.load_cert_chain(self._settings.certificate, self._settings.key, password=lambda: b"")
        if self._settings.client_ca:
            context.load_verify_locations(self._settings.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _matches(name: str, pattern: str) -> bool:
    name, pattern = name.lower().rstrip("."), pattern.lower().rstrip(".")
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return name == pattern
