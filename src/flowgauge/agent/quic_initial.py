# SPDX-License-Identifier: Apache-2.0
"""Reads the first packets of a QUIC client (Initial, RFC 9000 §17.2.2), whose keys everybody on the path can derive.

They are protected against chance and meddling, not against readers: the keys come from a connection id in the packet itself
and a salt that each version publishes (RFC 9001 §5.2, RFC 9369 §3.3). No secret is touched. Packets are not authenticated here:
what was not meant for us reads as nonsense, which ``ValueError`` says.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from flowgauge.agent.tls_hello import CutOff

V1, V2 = 0x00000001, 0x6B3343CF
_SHORTEST_ID = 8
"""Of the connection id that a client invents (RFC 9000 §7.2); a server's packets may have shorter ones."""
_TAG_BYTES = 16
_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO = 0x00, 0x01, 0x02, 0x03, 0x06


@dataclass(frozen=True, slots=True)
class _Protection:
    salt: bytes
    label: str


_V1 = _Protection(bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), "quic")
_PROTECTION = {
    V1: _V1,
    V2: _Protection(bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"), "quicv2"),
}


def version(datagram: bytes) -> int:
    """The version in a long header; ValueError when there is none."""
    if len(datagram) < 5:
        raise ValueError("no QUIC long header")
    return int.from_bytes(datagram[1:5])


def crypto(datagram: bytes) -> dict[int, bytes]:
    """What a client's Initial carries of the TLS handshake: offset → bytes, in no order.

    Raises:
        CutOff: the packet goes on behind the bytes that are there.
        ValueError: another version, a server's packet, or no QUIC at all.
    """
    protection = _PROTECTION.get(version(datagram))
    if protection is None:
        raise ValueError("a version of QUIC whose keys are not known")
    id_length = datagram[5] if len(datagram) > 5 else 0
    connection = datagram[6 : 6 + id_length]
    if id_length < _SHORTEST_ID:
        raise ValueError("no packet of a client that begins")
    at = 6 + id_length
    at += 1 + _octet(datagram, at)  # the source's connection id
    token, at = _varint(datagram, at)
    length, at = _varint(datagram, at + token)
    if length < 4 + _TAG_BYTES:
        raise ValueError("no room for what every packet has")
    if at + length > len(datagram):
        raise CutOff
    return _frames(_decrypt(datagram[: at + length], at, connection, protection))


def _decrypt(packet: bytes, number_at: int, connection: bytes, protection: _Protection) -> bytes:
    """Takes off the protection of header and payload (RFC 9001 §5.4, §5.3)."""
    secret = hmac.digest(protection.salt, connection, "sha256")
    client = _expand(secret, "client in", hashlib.sha256().digest_size)
    key, iv, header_key = (
        _expand(client, f"{protection.label} {name}", size) for name, size in (("key", 16), ("iv", 12), ("hp", 16))
    )
    mask = _applied(AES(header_key), modes.ECB(), packet[number_at + 4 : number_at + 20])  # noqa: S305 - one block: RFC 9001 §5.4.3
    size = ((packet[0] ^ mask[0]) & 0x03) + 1
    number = bytes(a ^ b for a, b in zip(packet[number_at : number_at + size], mask[1:], strict=False))
    nonce = (int.from_bytes(iv) ^ int.from_bytes(number)).to_bytes(12)
    first = nonce + (2).to_bytes(4)  # GCM counts the payload's blocks from 2 (NIST SP 800-38D §7.1)
    return _applied(AES(key), modes.CTR(first), packet[number_at + size : -_TAG_BYTES])


def _applied(key: AES, mode: modes.ECB | modes.CTR, raw: bytes) -> bytes:
    encryptor = Cipher(key, mode).encryptor()
    return encryptor.update(raw) + encryptor.finalize()


def _expand(secret: bytes, label: str, size: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446 §7.1) of at most one hash."""
    name = b"tls13 " + label.encode()
    info = size.to_bytes(2) + bytes((len(name),)) + name + b"\0"
    return hmac.digest(secret, info + b"\x01", "sha256")[:size]


def _frames(plain: bytes) -> dict[int, bytes]:
    """The CRYPTO frames; a client's first packets may have PADDING, PING and ACK beside (RFC 9000 §12.4)."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(plain):
        kind = plain[at]
        at += 1
        if kind in (_PADDING, _PING):
            continue
        if kind in (_ACK, _ACK_ECN):
            at = _behind_ack(plain, at, ecn=kind == _ACK_ECN)
            continue
        if kind != _CRYPTO:
            raise ValueError(f"frame of type {kind:#x} in an Initial")
        offset, at = _varint(plain, at)
        length, at = _varint(plain, at)
        if at + length > len(plain):
            raise ValueError("CRYPTO frame beyond its packet")
        found[offset] = plain[at : at + length]
        at += length
    return found


def _behind_ack(plain: bytes, at: int, *, ecn: bool) -> int:
    for _ in range(2):  # largest, delay
        _, at = _varint(plain, at)
    ranges, at = _varint(plain, at)
    if ranges > len(plain):
        raise ValueError("ACK frame beyond its packet")
    for _ in range(1 + 2 * ranges + (3 if ecn else 0)):
        _, at = _varint(plain, at)
    return at


def _octet(raw: bytes, at: int) -> int:
    if at >= len(raw):
        raise ValueError("a number is cut off")
    return raw[at]


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """A number of 1, 2, 4 or 8 bytes (RFC 9000 §16), and where it ends."""
    size = 1 << (_octet(raw, at) >> 6)
    if at + size > len(raw):
        raise ValueError("a number is cut off")
    return int.from_bytes(raw[at : at + size]) & ((1 << 8 * size - 2) - 1), at + size
