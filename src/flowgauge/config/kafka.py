# SPDX-License-Identifier: Apache-2.0
"""The document's Kafka section as settings of Kafka's client library (librdkafka's names)."""

from __future__ import annotations

from pathlib import Path

from flowgauge.config.sending import Kafka
from flowgauge.errors import UsageError


def client_settings(kafka: Kafka) -> dict[str, str | int | float | bool]:
    """What producer and consumer share; UsageError when the password's file cannot be read."""
    found: dict[str, str | int | float | bool] = {"bootstrap.servers": kafka.brokers, "client.id": "flowgauge"}
    found["security.protocol"] = f"{'sasl_' if kafka.user else ''}{'ssl' if kafka.tls else 'plaintext'}"
    files = {"ssl.ca.location": kafka.ca, "ssl.certificate.location": kafka.certificate, "ssl.key.location": kafka.key}
    found |= {name: path for name, path in files.items() if path}
    if kafka.user:
        found |= {"sasl.mechanism": kafka.mechanism, "sasl.username": kafka.user, "sasl.password": _password(kafka)}
    return found


def _password(kafka: Kafka) -> str:
    try:
        return Path(kafka.password_file).read_text(encoding="utf-8").rstrip("\n")
    except OSError as error:
        raise UsageError(f"spec.collector.kafka.passwordFile {kafka.password_file}: {error.strerror}") from error
