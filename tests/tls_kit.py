# SPDX-License-Identifier: Apache-2.0
"""For tests: certificates made by openssl, and clients that use them."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.certificate, self._key = folder / f"{name}.crt", folder / f"{name}.key"
        folder.mkdir(exist_ok=True)
        openssl("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.certificate)

    def issue(self, name: str, dns: str) -> tuple[Path, Path]:
        """(certificate, key) for a DNS name; issued again, the files are replaced."""
        key, request, certificate = (self.folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName=DNS:{dns},IP:127.0.0.1\n")
        openssl("req", *_NEW_KEY, "-subj", f"/CN={dns}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-days", "2",
                "-extfile", extensions, "-out", certificate)  # fmt: skip
        return certificate, key

    def client(self, address: tuple[str, int], identity: tuple[Path, Path] | None = None, **settings: object) -> ssl.SSLSocket:
        """A connection that believes this authority, with a client certificate or without."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT  # this authority is as people make them
        for name, value in settings.items():
            setattr(context, name, value)
        if identity is not None:
            context.load_cert_chain(*map(str, identity))
        return context.wrap_socket(socket.create_connection(address, timeout=60), server_hostname="127.0.0.1")


def openssl(*arguments: object) -> None:
    """Runs the tool of that name."""
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
