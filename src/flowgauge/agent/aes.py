# SPDX-License-Identifier: Apache-2.0
"""AES-128 (FIPS 197) in counter mode over arrays, for packets whose keys are public (:mod:`flowgauge.agent.quic_initial`).

Not for secrets: table look-ups tell the key to whoever can measure them. All blocks of a packet go through each round at once,
which makes a packet of 1200 bytes cost half a millisecond.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Octets = npt.NDArray[np.uint8]

_BLOCK, _ROUNDS = 16, 10
_SHIFT_ROWS = np.array([0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11])


def _tables() -> tuple[Octets, Octets]:
    """The substitution box (§5.1.1), and the double of each octet in GF(2^8)."""
    double = np.array([(value << 1 ^ (0x11B if value & 0x80 else 0)) for value in range(256)], np.uint8)
    power, octet = [], 1
    for _ in range(255):
        power.append(octet)
        octet ^= int(double[octet])  # times 3, which generates the field
    box = np.zeros(256, np.uint8)
    for exponent, value in enumerate(power):
        inverse = power[-exponent % 255]
        spread = inverse | inverse << 8
        box[value] = 0x63 ^ inverse ^ (spread >> 7) & 0xFF ^ (spread >> 6) & 0xFF ^ (spread >> 5) & 0xFF ^ (spread >> 4) & 0xFF
    box[0] = 0x63
    return box, double


_BOX, _DOUBLE = _tables()


def encrypt(key: bytes, block: bytes) -> bytes:
    """One block of 16 bytes with a key of 16 bytes."""
    return _encrypted(key, np.frombuffer(block, np.uint8).reshape(1, _BLOCK)).tobytes()


def counter_mode(key: bytes, nonce: bytes, first: int, octets: bytes) -> bytes:
    """``octets`` with the key stream on or off (SP 800-38A §6.5): blocks of a 12-byte nonce and a counter from ``first``."""
    count = -(-len(octets) // _BLOCK)
    blocks = np.zeros((count, _BLOCK), np.uint8)
    blocks[:, :12] = np.frombuffer(nonce, np.uint8)
    blocks[:, 12:] = np.arange(first, first + count, dtype=">u4").view(np.uint8).reshape(count, 4)
    stream = _encrypted(key, blocks).reshape(-1)[: len(octets)]
    return (np.frombuffer(octets, np.uint8) ^ stream).tobytes()


def _encrypted(key: bytes, blocks: Octets) -> Octets:
    """(n, 16) blocks, §5.1."""
    keys = _round_keys(key)
    state = blocks ^ keys[0]
    for number in range(1, _ROUNDS):
        state = _mixed(_BOX[state][:, _SHIFT_ROWS]) ^ keys[number]
    last: Octets = _BOX[state][:, _SHIFT_ROWS] ^ keys[_ROUNDS]
    return last


def _mixed(state: Octets) -> Octets:
    """MixColumns (§5.1.3): each octet becomes 2a + 3b + c + d of its column."""
    a = state.reshape(-1, 4, 4)
    b = np.roll(a, -1, axis=2)
    total = np.bitwise_xor.reduce(a, axis=2, keepdims=True)
    mixed: Octets = (a ^ total ^ _DOUBLE[a ^ b]).reshape(-1, _BLOCK)
    return mixed


def _round_keys(key: bytes) -> Octets:
    """(11, 16), §5.2."""
    words = [np.frombuffer(key, np.uint8)[at : at + 4] for at in range(0, _BLOCK, 4)]
    constant = 1
    while len(words) < 4 * (_ROUNDS + 1):
        word = words[-1]
        if len(words) % 4 == 0:
            word = _BOX[np.roll(word, -1)]
            word[0] ^= constant
            constant = int(_DOUBLE[constant])
        words.append(words[-4] ^ word)
    return np.concatenate(words).reshape(-1, _BLOCK)
