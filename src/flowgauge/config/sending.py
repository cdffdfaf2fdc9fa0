# SPDX-License-Identifier: Apache-2.0
"""How agents reach collectors beyond plain addresses: whom they believe over TLS, and Kafka topics."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flowgauge.config.section import Section


class ClientTls(Section):
    """Whom agents believe, and who they are, over TLS."""

    ca: str = ""
    """File with the authorities whose collectors are believed (PEM); empty: those of the system."""
    certificate: str = ""
    """File with the agent's own certificate (PEM), for collectors that ask for one."""
    key: str = ""
    """File with its private key (PEM); empty: it is in the certificate's file."""
    server_name: str = ""
    """Name that the collector's certificate must carry; empty: the host that is called."""


class KafkaFormat(StrEnum):
    """What the messages of a topic are."""

    IPFIX = "IPFIX"
    PBFLOW = "pbflow"


class Kafka(Section):
    """A topic with flows: agents write it with transport Kafka, the collector reads it."""

    brokers: str
    """HOST:PORT of one or more brokers, separated by commas."""
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = "flowgauge-flows"
    """The topic; agents' messages are keyed by node, so that each node's stay in order."""
    group: str = "flowgauge"
    """Consumer group; collectors of one group share the partitions."""
    format: KafkaFormat = KafkaFormat.IPFIX
    """IPFIX: whole IPFIX messages, as our agents write them; pbflow: one record each, as NetObserv's agents write them."""
    tls: bool = False
    """Whether brokers are reached over TLS."""
    ca: str = ""
    """File with the authorities that vouch for brokers (PEM); empty: those of the system."""
    certificate: str = ""
    """File with the client's certificate (PEM)."""
    key: str = ""
    """File with its private key (PEM)."""
    user: str = ""
    """Name for SASL; empty: no SASL."""
    password_file: str = ""
    """File with the password for SASL."""
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How the password is proven."""

    @model_validator(mode="after")
    def _certificates_need_tls(self) -> Self:
        if not self.tls and (self.ca or self.certificate or self.key):
            raise ValueError("ca, certificate and key go with tls: true")
        return self

    @model_validator(mode="after")
    def _a_user_has_a_password(self) -> Self:
        if bool(self.user) != bool(self.password_file):
            raise ValueError("user and passwordFile go together")
        return self
