# SPDX-License-Identifier: Apache-2.0
"""What an export is told: where flows go, in which protocol, over which transport, how fast."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from flowgauge.errors import UsageError

DOCUMENTATION_PEN = 32473
"""Private enterprise number for examples (RFC 5612): set your own in production."""


class FlowProtocol(StrEnum):
    """What flows are encoded as."""

    IPFIX = "ipfix"
    NETFLOW9 = "netflow9"


class Transport(StrEnum):
    """How messages travel."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How users call what they set, for messages."""

    ca_file: str = "--ca-file"
    certificate: str = "--certificate"
    server_name: str = "--to"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How the receiver proves who it is, and we who we are.

    Attributes:
        verify: whether its certificate must be valid, and for the name that is called.
        ca_file: certificates of authorities to trust; None: those of the system.
        certificate, key: our own, in PEM; the key may be in the certificate's file.
        server_name: name that the certificate must have; empty: the host.
        options: how the user set these.
    """

    verify: bool = True
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""
    options: TlsOptions = TlsOptions()


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """Settings of one export.

    Attributes:
        host, port: the receiver.
        pen: private enterprise number of our own elements.
        domain: observation domain; 0 is what RFC 7011 §3.1 asks for where flows of several are sent together.
        mtu_bytes: longest datagram; 1400 fits below tunnels on a 1500-byte network.
        template_refresh_s: over UDP templates are sent again this often, since they may get lost (RFC 7011 §8.4).
        rate_per_s: flows a second; 0: as fast as the transport's own pace allows.
        patience_s: how long a receiver that is away is waited for.
        persistent: True goes on without the flows that nobody took; False ends the export there.
    """

    host: str
    port: int
    protocol: FlowProtocol = FlowProtocol.IPFIX
    transport: Transport = Transport.UDP
    tls: TlsSettings = TlsSettings()
    pen: int = DOCUMENTATION_PEN
    domain: int = 0
    mtu_bytes: int = 1400
    template_refresh_s: float = 10.0
    rate_per_s: float = 0.0
    patience_s: float = 10.0
    persistent: bool = False

    @property
    def where(self) -> str:
        """The receiver, for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def check(self) -> None:
        """UsageError for what does not go together."""
        if self.protocol is FlowProtocol.NETFLOW9 and self.transport is not Transport.UDP:
            raise UsageError(f"NetFlow v9 travels over UDP only; --transport {self.transport} needs --protocol ipfix")
