# SPDX-License-Identifier: Apache-2.0
"""Secrets: compared in constant time, and other values derived from them that do not give them away."""

from __future__ import annotations

import hashlib
import hmac


def same(given: str, expected: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def derived(secret: str, purpose: bytes) -> str:
    """A value that whoever has ``secret`` can compute for a ``purpose``, and from which it cannot be found (HMAC-SHA-256)."""
    return hmac.new(secret.encode(), purpose, hashlib.sha256).hexdigest()
