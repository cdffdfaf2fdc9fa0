# SPDX-License-Identifier: Apache-2.0
"""Reads the first packets of a QUIC connection (Initial, RFC 9000 §17.2.2), whose keys everybody on the path can derive.

They are protected against chance and meddling, not against readers: the keys of both ends come from the connection id that the
client invents for its first packet, and a salt that each version publishes (RFC 9001 §5.2, RFC 9369 §3.3). No secret is
touched. What these keys do not open was not meant for us, or is damaged: ``ValueError`` says so.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from flowgauge.agent.tls_hello import CutOff

V1, V2 = 0x00000001, 0x6B3343CF
_TAG_BYTES = 16
_LONG_HEADER, _TYPE = 0xC0, 0x30
_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO = 0x00, 0x01, 0x02, 0x03, 0x06


@dataclass(frozen=True, slots=True)
class _Protection:
    """Of one version; ``initial`` are the bits of the first byte that make a packet an Initial."""

    salt: bytes
    label: str
    initial: int


_PROTECTION = {
    V1: _Protection(bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), "quic", 0x00),
    V2: _Protection(bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"), "quicv2", 0x10),
}


@dataclass(frozen=True, slots=True)
class Crypto:
    """What a datagram carries of the TLS handshake.

    Attributes:
        connection: the id from which the keys come that opened it: that of the client's first packet.
        pieces: offset → bytes, in no order.
    """

    connection: bytes
    pieces: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class _Packet:
    """A packet as it came, protected; ``to`` is the destination's connection id."""

    raw: bytes
    number_at: int
    to: bytes


def version(datagram: bytes) -> int:
    """The version in a long header; ValueError when there is none."""
    if len(datagram) < 5:
        raise ValueError("no QUIC long header")
    return int.from_bytes(datagram[1:5])


def crypto(datagram: bytes, known: bytes = b"") -> Crypto:
    """What the Initial packets at the beginning of a datagram of either end carry.

    Args:
        datagram: as far as it was copied.
        known: the id from which the connection's keys come, if its client's first packet was seen. Without it, or when it does
            not fit, the datagram may be such a first packet itself.

    Raises:
        CutOff: the first packet goes on behind the bytes that are there.
        ValueError: another version, a connection whose keys are not known, or no QUIC at all.
    """
    protection = _PROTECTION.get(version(datagram))
    if protection is None:
        raise ValueError("a version of QUIC whose keys are not known")
    packet = _packet(datagram)
    plain, connection, end = _opened(packet, known, protection)
    pieces = _frames(plain)
    while (datagram := datagram[len(packet.raw) :]) and _goes_on(datagram, packet.raw, protection):
        try:
            packet = _packet(datagram)
        except CutOff:
            break
        pieces |= _frames(_decrypt(packet, _keys(connection, end, protection)))
    return Crypto(connection, pieces)


def _packet(datagram: bytes) -> _Packet:
    """The Initial packet with which these bytes begin."""
    id_length = datagram[5] if len(datagram) > 5 else 0
    at = 6 + id_length
    at += 1 + _octet(datagram, at)  # the source's connection id
    token, at = _varint(datagram, at)
    length, at = _varint(datagram, at + token)
    if length < 4 + _TAG_BYTES:
        raise ValueError("no room for what every packet has")
    if at + length > len(datagram):
        raise CutOff
    return _Packet(datagram[: at + length], at, datagram[6 : 6 + id_length])


def _goes_on(datagram: bytes, before: bytes, protection: _Protection) -> bool:
    """Whether another Initial of the same version follows in the same datagram (RFC 9000 §12.2)."""
    return datagram[0] & (_LONG_HEADER | _TYPE) == _LONG_HEADER | protection.initial and datagram[1:5] == before[1:5]


_Keys = tuple[bytes, bytes, bytes]
"""Of AES-GCM, its vector, and of the header."""


def _opened(packet: _Packet, known: bytes, protection: _Protection) -> tuple[bytes, bytes, str]:
    """The packet's frames, whose connection's keys opened it, and which end's they were."""
    candidates = [(known, "client in"), (known, "server in")] if known else []
    if packet.to != known:
        candidates.append((packet.to, "client in"))
    for connection, end in candidates:
        try:
            return _decrypt(packet, _keys(connection, end, protection)), connection, end
        except ValueError:
            continue
    raise ValueError("a packet of a connection whose keys are not known")


def _keys(connection: bytes, end: str, protection: _Protection) -> _Keys:
    """Those of one end's Initial packets."""
    secret = _expand(hmac.digest(protection.salt, connection, "sha256"), end, hashlib.sha256().digest_size)
    key, iv, header = (
        _expand(secret, f"{protection.label} {name}", size) for name, size in (("key", 16), ("iv", 12), ("hp", 16))
    )
    return key, iv, header


def _decrypt(packet: _Packet, keys: _Keys) -> bytes:
    """Takes off the protection of header and payload (RFC 9001 §5.4, §5.3); ValueError when these are not its keys."""
    raw, at = packet.raw, packet.number_at
    key, iv, header_key = keys
    mask = _block(header_key, raw[at + 4 : at + 20])
    first = raw[0] ^ mask[0] & 0x0F
    size = (first & 0x03) + 1
    number = bytes(a ^ b for a, b in zip(raw[at : at + size], mask[1:], strict=False))
    nonce = (int.from_bytes(iv) ^ int.from_bytes(number)).to_bytes(12)
    header = bytes((first,)) + raw[1:at] + number
    try:
        return AESGCM(key).decrypt(nonce, raw[at + size :], header)
    except InvalidTag as error:
        raise ValueError("not with these keys") from error


def _block(key: bytes, block: bytes) -> bytes:
    encryptor = Cipher(AES(key), modes.ECB()).encryptor()  # noqa: S305 - one block: RFC 9001 §5.4.3
    return encryptor.update(block) + encryptor.finalize()


def _expand(secret: bytes, label: str, size: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446 §7.1) of at most one hash."""
    name = b"tls13 " + label.encode()
    info = size.to_bytes(2) + bytes((len(name),)) + name + b"\0"
    return hmac.digest(secret, info + b"\x01", "sha256")[:size]


def _frames(plain: bytes) -> dict[int, bytes]:
    """The CRYPTO frames; Initial packets may have PADDING, PING and ACK beside (RFC 9000 §12.4)."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(plain):
        kind = plain[at]
        at += 1
        if kind == _PADDING:
            at = len(plain) - len(plain[at:].lstrip(b"\0"))
            continue
        if kind == _PING:
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
