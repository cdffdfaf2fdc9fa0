# SPDX-License-Identifier: Apache-2.0
"""The embedded store's two keys: the secret opens reading and writing, the reader's key, derived from it, only reading."""

from __future__ import annotations

import os
import secrets

from flowgauge.runtime.secret import derived

_READER = b"flowgauge store reader"


def new_secret() -> str:
    """A fresh secret, 256 bits as text."""
    return secrets.token_urlsafe(32)


def reader_key(secret: str) -> str:
    """The key to hand to parts that only read (console): the secret cannot be computed from it ."""
    return derived(secret, _READER)


def from_descriptor(descriptor: int) -> str:
    """Reads the secret that a parent left in an inherited descriptor, and closes it; ValueError when it is empty."""
    with os.fdopen(descriptor, "rb") as stream:
        secret = stream.read(4096).decode().strip()
    if not secret:
        raise ValueError("the descriptor holds no secret")
    return secret
