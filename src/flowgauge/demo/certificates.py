# SPDX-License-Identifier: Apache-2.0
"""A certificate that a server of the scene shows and its clients trust, made here: no other program is needed for it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flowgauge.demo.scene.processes import User
from flowgauge.runtime.clock import now_ns

_VALID = dt.timedelta(days=3650)
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two files in PEM: the certificate, which anybody may read, and its key, which ``owner`` may."""

    certificate: Path
    key: Path

    @classmethod
    def made(cls, folder: Path, name: str, owner: User) -> Certificate:
        """Signed by itself, for the DNS name ``name``; the folder must be there."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.fromtimestamp(now_ns() / _NS_PER_S, dt.UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + _VALID)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        found = cls(folder / f"{name}.crt", folder / f"{name}.key")
        found.certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
        found.certificate.chmod(0o644)
        found.key.touch(0o600)
        found.key.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        owner.own(found.key)
        return found
