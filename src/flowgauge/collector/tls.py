# SPDX-License-Identifier: Apache-2.0
"""TLS of a listener (RFC 7011 §11): at least 1.2, clients' names checked, certificates read again when their files change."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from flowgauge.config.model import Tls
from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import logs

LOOK_S = 1.0
"""How often the files are looked at, while connections come."""
NOT_NAMED = "the client's certificate has none of the names in clientNames"

_log = logs.get("collector")


Made = TypeVar("Made")


class TlsFiles(Generic[Made]):
    """What new connections use, made of the files and made anew when they change. Safe from any thread.

    Args:
        settings: names of files.
        make: makes it; OSError or ssl.SSLError when the files do not serve.
    """

    def __init__(self, settings: Tls, make: Callable[[Tls], Made]) -> None:
        self.settings, self._make = settings, make
        self._paths = [Path(path) for path in (settings.certificate, settings.key, settings.client_ca) if path]
        self._state: tuple[tuple[int, int, int], ...] = ()
        self._looked_at = 0.0
        self._made: Made | None = None

    def load(self) -> None:
        """Reads the files; EnvironmentProblem when they do not serve."""
        try:
            self._state = self._look()
            self._made = self._make(self.settings)
        except (OSError, ssl.SSLError) as error:
            what = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            files = " and ".join(map(str, self._paths))
            raise EnvironmentProblem(f"TLS cannot be served with {files}: {what}") from error

    def current(self) -> Made:
        """What new connections use; files that were changed to something unusable leave it as it was."""
        assert self._made is not None  # noqa: S101 - `load` comes first
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return self._made
        self._looked_at = now
        try:
            state = self._look()
            if state != self._state:
                self._made = self._make(self.settings)
                self._state = state
                _log.info("certificate_reloaded", certificate=self.settings.certificate)
        except (OSError, ssl.SSLError) as error:
            _log.warning("certificate_not_reloaded", certificate=self.settings.certificate, error=str(error),
                         detail="the former one stays in use")  # fmt: skip
        return self._made

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        found = [path.stat() for path in self._paths]
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)


def server_context(settings: Tls) -> ssl.SSLContext:
    """For connections that come; OSError or ssl.SSLError when the files do not serve."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A key with a passphrase would ask for it on the terminal; there is nobody to answer.
    context.load_cert_chain(settings.certificate, settings.key, password=lambda: b"")
    if settings.client_ca:
        context.load_verify_locations(settings.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def dns_names(certificate: object) -> list[str]:
    """Names of a certificate as ``getpeercert`` gives it."""
    names = certificate.get("subjectAltName", ()) if isinstance(certificate, dict) else ()
    return [name for kind, name in names if kind == "DNS"]


def accepts(settings: Tls, names: Iterable[str]) -> bool:
    """Whether a client whose certificate carries these DNS names may send."""
    wanted = settings.client_names
    return not wanted or any(_matches(name, pattern) for name in names for pattern in wanted)


def _matches(name: str, pattern: str) -> bool:
    name, pattern = name.lower().rstrip("."), pattern.lower().rstrip(".")
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return name == pattern
