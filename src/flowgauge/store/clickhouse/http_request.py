# SPDX-License-Identifier: Apache-2.0
"""A request to the embedded store's HTTP interface, as text: body, parameters, errors. No engine, no sockets of its own.

The names of parameters and headers are ClickHouse's (HTTP interface). Neighbour: ``http_server``.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import parse_qsl, urlsplit

from flowgauge.store.clickhouse.datasets import is_dataset
from flowgauge.store.clickhouse.engine import DATABASE

MAX_BODY_BYTES = 256 << 20

BAD_ARGUMENTS, NOT_IMPLEMENTED, SYNTAX_ERROR, UNKNOWN_DATABASE = 36, 48, 62, 81
READONLY, REQUIRED_PASSWORD, TOO_MANY_QUERIES, NOT_ENOUGH_SPACE = 164, 194, 202, 243
AUTHENTICATION_FAILED, STD_EXCEPTION = 516, 1001

STATUS = {AUTHENTICATION_FAILED: 403, REQUIRED_PASSWORD: 401, READONLY: 403, SYNTAX_ERROR: 400, 47: 404, 60: 404, 46: 404,
          UNKNOWN_DATABASE: 404, TOO_MANY_QUERIES: 503, NOT_IMPLEMENTED: 501, BAD_ARGUMENTS: 400, 457: 400,
          159: 504}  # fmt: skip
"""HTTP status of an error code; 500 for the rest, as ClickHouse does."""

_NAME = re.compile(r"[A-Za-z_]\w*")
_BOUNDARY = re.compile(r"boundary=\"?(?P<text>[\w'()+,./:=? -]{1,70})\"?")
_FIELD_NAME = re.compile(rb'name="(?P<name>\w+)"')
_CODE = re.compile(r"Code: (\d+)\.")
_TRANSPORT = frozenset({
    "query", "database", "default_format", "user", "password", "session_id", "session_timeout", "session_check", "query_id",
    "quota_key", "compress", "decompress", "buffer_size", "wait_end_of_query", "client_protocol_version", "role", "readonly",
    "send_progress_in_http_headers", "enable_http_compression", "http_headers_progress_interval_ms",
    "cancel_http_readonly_queries_on_client_close",
})  # fmt: skip
"""Parameters of the transport, which are no settings of the engine. ``readonly`` is served by read-only handles."""


class Failure(Exception):
    """What the client is told: an engine's error code and a sentence."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message

    @classmethod
    def of_engine(cls, text: str) -> Failure:
        """From the engine's own message, which holds its code."""
        found = _CODE.search(text)
        return cls(int(found.group(1)) if found else STD_EXCEPTION, text)

    @property
    def body(self) -> bytes:
        """The message in ClickHouse's form."""
        known = self.message.startswith("Code: ")
        text = self.message if known else f"Code: {self.code}. DB::Exception: {self.message}"
        return text.encode() + b"\n"


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A parsed request.

    Attributes:
        text: the statement, with its data behind it.
        params: server-side parameters, without ``param_``.
        settings: for this statement only.
        format: of the answer, unless the statement says so.
        writer: whether it may do more than read.
    """

    text: bytes
    params: Mapping[str, str]
    settings: Mapping[str, str]
    database: str
    format: str
    writer: bool


def given_key(headers: Mapping[str, str]) -> str:
    """The key that the client shows: ``X-ClickHouse-Key``, else the password of HTTP Basic; empty when none."""
    key = headers.get("X-ClickHouse-Key", "")
    kind, _, credentials = headers.get("Authorization", "").partition(" ")
    if not key and kind.lower() == "basic":
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            key = base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    return key


def read_body(headers: Mapping[str, str], stream: BinaryIO) -> bytes:
    """The request's body, unpacked; Failure when it is too long or in a coding we do not have."""
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        data = _read_chunks(stream)
    else:
        length = _length(headers.get("Content-Length") or "0", 10)
        _check_length(length)
        data = stream.read(length) if length else b""
    coding = headers.get("Content-Encoding", "identity").lower()
    if coding in ("gzip", "deflate"):
        return _inflate(data)
    if coding not in ("", "identity"):
        raise Failure(NOT_IMPLEMENTED, f"Content-Encoding {coding} is not supported here; send plain bodies")
    return data


def _length(text: str, base: int) -> int:
    """A length as HTTP has it; a sign would make the reader wait for the end of the connection."""
    digits = text.strip()
    if not digits.isascii() or not digits.isalnum():
        raise Failure(BAD_ARGUMENTS, "the request's length is no number")
    try:
        return int(digits, base)
    except ValueError:
        raise Failure(BAD_ARGUMENTS, "the request's length is no number") from None


def _read_chunks(stream: BinaryIO) -> bytes:
    pieces, total = [], 0
    while size := _length(stream.readline(1024).split(b";")[0].decode("latin-1"), 16):
        total += size
        _check_length(total)
        pieces.append(stream.read(size))
        stream.readline(1024)
    while stream.readline(1024).strip():
        pass
    return b"".join(pieces)


def _inflate(data: bytes) -> bytes:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    unpacked = unpacker.decompress(data, MAX_BODY_BYTES)
    _check_length(len(unpacked) + len(unpacker.unconsumed_tail))
    return unpacked


def _check_length(length: int) -> None:
    if length > MAX_BODY_BYTES:
        raise Failure(BAD_ARGUMENTS, f"the request's body is longer than {MAX_BODY_BYTES} bytes")


def _form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a multipart form (RFC 7578): so clients send a query whose parameters are too long for an address."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise Failure(BAD_ARGUMENTS, "a form without a boundary")
    fields = {}
    for part in body.split(b"--" + boundary["text"].encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = _FIELD_NAME.search(head)
        if name is None or b"filename=" in head:
            raise Failure(NOT_IMPLEMENTED, "a form may hold a query and its parameters, no files")
        fields[name["name"].decode()] = content.removesuffix(b"\r\n").decode()
    return fields


def parse(path: str, headers: Mapping[str, str], body: bytes, *, writer: bool) -> StoreRequest:
    """The request; Failure when it is none we serve. ``readonly`` takes a writer's rights for this request."""
    fields = dict(parse_qsl(urlsplit(path).query, keep_blank_values=True))
    if headers.get("Content-Type", "").startswith("multipart/"):
        fields |= _form(headers["Content-Type"], body)
        body = b""
    query = fields.get("query", "").encode()
    text = query + b"\n" + body if query and body else query or body
    if not text.strip():
        raise Failure(SYNTAX_ERROR, "Empty query")
    settings = {name: value for name, value in fields.items() if name not in _TRANSPORT and not name.startswith("param_")}
    if not all(map(_NAME.fullmatch, settings)):
        raise Failure(BAD_ARGUMENTS, "a setting's name is a word")
    database = fields.get("database") or DATABASE
    if database not in (DATABASE, "default", "system") and not is_dataset(DATABASE, database):
        raise Failure(UNKNOWN_DATABASE, f"Database {database} does not exist")
    return StoreRequest(
        text=text,
        params={name.removeprefix("param_"): value for name, value in fields.items() if name.startswith("param_")},
        settings=settings,
        database=DATABASE if database == "default" else database,
        format=fields.get("default_format") or headers.get("X-ClickHouse-Format") or "TabSeparated",
        writer=writer and fields.get("readonly", "0") == "0",
    )
