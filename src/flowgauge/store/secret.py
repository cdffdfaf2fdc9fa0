# SPDX-License-Identifier: Apache-2.0
"""The embedded store's two keys: the secret opens reading and writing, the reader's key, derived from it, only reading."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets

_READER = b"flowgauge store reader"


def new_secret() -> str:
    """A fresh secret, 256 bits as text."""
    return secrets.token_urlsafe(32)


def reader_key(secret: str) -> str:
    """The key to hand to parts that only read (console): the secret cannot be computed from it (HMAC-SHA-256)."""
    return hmac.new(secret.encode(), _READER, hashlib.sha256).hexdigest()


def same(given: str, expected: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def from_descriptor(descriptor: int) -> str:
    """Reads the secret that a parent left in an inherited descriptor, and closes it; ValueError when it is empty."""
    with os.fdopen(descriptor, "rb") as stream:
        secret = stream.read(4096).decode().strip()
    if not secret:
        raise ValueError("the descriptor holds no secret")
    return secret
