# SPDX-License-Identifier: Apache-2.0
"""What runs in the demo's pods: one function per container, which gives the program with its user and environment.

Python programs run with this interpreter, as the owner of the package's files, who can certainly read them, and without any
capability.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from flowgauge.demo.certificates import Certificate
from flowgauge.demo.scene.processes import Program, User

WEB_PORT = 8080
SIDECAR_PORT = 8081
"""On the pod's loopback, for its sidecar alone."""
DNS_PORT = 53
BULK_PORT = 9000
GATEWAY_PORT = 8443
"""Of HTTPS over TCP, and of HTTP/3 over UDP."""

_HERE = Path(__file__).parent
_PROGRAMS, SITE = _HERE / "programs", _HERE / "site"
_MEMORY = "/dev/shm"  # noqa: S108 - where gunicorn keeps a file of its own, which it unlinks as soon as it is open
_PYTHON_ENV = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
_PYTHON_OPTIONS = ("-X", "utf8")


def web(address: str, database: Mapping[str, str], *, database_host: str, pod: str, node: str, key: str) -> Program:
    """Gunicorn with the Django project; ``key`` is the same for all replicas, ``pod`` and ``node`` are shown on the page."""
    argv = [
        sys.executable, *_PYTHON_OPTIONS, "-m", "gunicorn", "wsgi:application", "--chdir", str(SITE),
        "--bind", f"{address}:{WEB_PORT}", "--bind", f"127.0.0.1:{SIDECAR_PORT}",
        "--workers", "1", "--threads", "4", "--worker-class", "gthread",
        "--no-control-socket", "--graceful-timeout", "3", "--access-logfile", "-", "--worker-tmp-dir", _MEMORY,
    ]  # fmt: skip
    env = {
        **_PYTHON_ENV,
        **database,
        "DATABASE_SERVICE_NAME": database_host,
        "DJANGO_SECRET_KEY": key,
        "POD_NAME": pod,
        "NODE_NAME": node,
    }
    return Program(argv, reader(), env)


def sidecar() -> Program:
    """What runs beside the web server in its pod."""
    return _python("sidecar.py", str(SIDECAR_PORT))


def new_key() -> str:
    """A key for Django's signatures."""
    return secrets.token_urlsafe(32)


def dns(address: str, names: Mapping[str, str]) -> Program:
    """Dnsmasq as the cluster's DNS server: it answers for ``names`` (name → address) and forwards nothing."""
    records = [f"--host-record={name}.svc,{name}.svc.cluster.local,{target}" for name, target in names.items()]
    argv = [
        "dnsmasq", "--keep-in-foreground", "--log-facility=-", "--log-queries",
        "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
        f"--listen-address={address}", "--bind-interfaces", "--except-interface=lo", f"--port={DNS_PORT}",
        "--pid-file=", "--local-ttl=5", "--local=/svc/", "--local=/cluster.local/", *records,
    ]  # fmt: skip
    return Program(argv, User.named("dnsmasq", "nobody"))


def load(address: str, host: str, source: str) -> Program:
    """The outside client: visits the Route's ``address`` from ``source``."""
    return _python("load.py", address, "80", host, source)


def stock_report(database_host: str, database: Mapping[str, str]) -> Program:
    """The unexpected neighbour of namespace ``other-team``."""
    return _python("stock_report.py", database_host, env=database)


def batch_import(*names: str) -> Program:
    """What runs at the address that a replaced pod gave back: it looks up ``names``."""
    return _python("batch_import.py", *names)


def payment_gateway(address: str, certificate: Certificate, *, quic: bool) -> Program:
    """Answers over HTTPS, and over HTTP/3 if there is ``quic``."""
    files = str(certificate.certificate), str(certificate.key)
    return _python("payment_gateway.py", address, str(GATEWAY_PORT), *files, *_quic(there=quic))


def checkout(host: str, certificate: Certificate, *, quic: bool) -> Program:
    """Pays at the gateway called ``host``."""
    return _python("checkout.py", host, "443", str(certificate.certificate), *_quic(there=quic))


def bulk_receiver(address: str) -> Program:
    """Takes one bulk transfer and prints how many bytes came."""
    return _python("bulk.py", "receive", address, str(BULK_PORT))


def bulk_sender(address: str, size_bytes: int) -> Program:
    """Sends one bulk transfer."""
    return _python("bulk.py", "send", address, str(BULK_PORT), str(size_bytes))


def probe_paths(*addresses: str) -> Program:
    """Asks paths for errors of ICMP and prints those that came."""
    return _python("probe_paths.py", *addresses)


def datagrams_answered(address: str, ports: Iterable[int]) -> Program:
    """Sends datagrams back to whoever sent them."""
    return _python("datagrams.py", "answer", address, *map(str, ports))


def datagrams(address: str, count: int, size_bytes: int, ports: Iterable[int]) -> Program:
    """Sends ``count`` datagrams to each port, each when the last was answered."""
    return _python("datagrams.py", "ask", address, str(count), str(size_bytes), *map(str, ports))


def _python(script: str, *arguments: str, env: Mapping[str, str] | None = None) -> Program:
    argv = [sys.executable, *_PYTHON_OPTIONS, str(_PROGRAMS / script), *arguments]
    return Program(argv, reader(), {**_PYTHON_ENV, **(env or {})})


def _quic(*, there: bool) -> Sequence[str]:
    return ["quic"] if there else []


def reader() -> User:
    """Whom Python programs run as."""
    return User.owner_of(_HERE)
