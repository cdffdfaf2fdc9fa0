# SPDX-License-Identifier: Apache-2.0
"""Connections to a ClickHouse HTTP interface, embedded or server: a client is used by one thread at a time.

Also tells what went wrong: not now, never, or too large a question. Neighbours: ``writer`` and ``backend`` in front, the
embedded store's ``http_server`` or a ClickHouse server behind.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect import common
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, ProgrammingError

from flowgauge.errors import FlowgaugeError, UsageError
from flowgauge.store.clickhouse.engine import DATABASE
from flowgauge.store.errors import QuestionTooLarge, StoreFull, StoreRejected, StoreUnavailable

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 120
QUERY_SECONDS = 30

_NOT_ENOUGH_SPACE = 243
_TRANSIENT = frozenset({159, 202, 203, 209, 210, 225, 236, 241, 242, 252, 285, 319, 999})
"""Time-out, too many queries, network, Keeper, aborted, memory, read-only replica, too many parts, quorum: may pass."""
_TOO_LARGE = {
    159: "it took too long",
    160: "it would take too long",
    241: "it needs too much memory",
    396: "its answer is too long",
    427: "its pattern is no RE2 regular expression",
}

_DATABASE = re.compile(r"[\w-]{1,100}", re.ASCII)

logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())  # what it logs it raises, too
common.set_setting("autogenerate_session_id", False)  # a session serialises a client's statements


@dataclass(frozen=True, slots=True)
class Address:
    """Where the interface is, from a store's URL."""

    host: str
    port: int
    secure: bool
    user: str
    database: str

    @property
    def base_url(self) -> str:
        """Without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


def parse_address(url: str) -> Address:
    """The parts of ``http(s)://[user@]host[:port][/database]``; UsageError when it is none."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise UsageError(f"{url!r}: the port is a number up to 65535") from None
    if not parts.hostname:
        raise UsageError(f"{url!r} names no host; give http://host:port of the store")
    if parts.password:
        raise UsageError("a store's address holds no password: give it as the store's secret")
    database = parts.path.strip("/") or DATABASE
    if not _DATABASE.fullmatch(database):
        raise UsageError(f"{url!r}: {database!r} is no name of a database; use letters, digits, _ and -")
    secure = parts.scheme in ("https", "clickhouses")
    return Address(
        host=parts.hostname,
        port=port or (8443 if secure else 8123),
        secure=secure,
        user=unquote(parts.username or "") or "default",
        database=database,
    )


class Clients:
    """Clients for one address and key; at most one thread uses a client at any time."""

    def __init__(self, address: Address, password: str) -> None:
        self._address, self._password = address, password
        self._idle: queue.LifoQueue[Client] = queue.LifoQueue()
        self._closed = False

    @contextmanager
    def use(self, *, reading: bool = False) -> Iterator[Client]:
        """Lends a client, made when none is idle; its errors become ours (see ``translated``)."""
        try:
            client = self._idle.get_nowait()
        except queue.Empty:
            client = self._connect()
        try:
            yield client
        except (ClickHouseError, OSError) as error:
            _close(client)
            raise translated(error, reading=reading) from error
        except BaseException:
            _close(client)
            raise
        if self._closed:
            _close(client)
        else:
            self._idle.put(client)

    def _connect(self) -> Client:
        address = self._address
        try:
            return clickhouse_connect.get_client(
                host=address.host, port=address.port, username=address.user, password=self._password, database=address.database,
                secure=address.secure, compress=False, connect_timeout=CONNECT_TIMEOUT_S, send_receive_timeout=ANSWER_TIMEOUT_S,
                query_retries=0, dedicated_pool=True, client_name="flowgauge",
            )  # fmt: skip
        except (ClickHouseError, OSError) as error:
            raise translated(error, reading=False) from error

    def close(self) -> None:
        """Closes what is idle, and later what is lent."""
        self._closed = True
        while True:
            try:
                _close(self._idle.get_nowait())
            except queue.Empty:
                return


def _close(client: Client) -> None:
    try:
        client.close()
    except (ClickHouseError, OSError):
        return


def translated(error: Exception, *, reading: bool) -> FlowgaugeError:
    """What an error of the client means for the caller."""
    code = getattr(error, "code", None)
    text = _short(str(error))
    if isinstance(error, ProgrammingError):
        return StoreRejected(f"the client refused: {text}")
    if code is None:
        return StoreUnavailable(f"the store does not answer: {text}")
    if reading and code in _TOO_LARGE:
        return QuestionTooLarge(f"the store gave the question up: {_TOO_LARGE[code]}; narrow the time range or the filter")
    if code == _NOT_ENOUGH_SPACE:
        return StoreFull(f"the store is full: {text}")
    if code in _TRANSIENT:
        return StoreUnavailable(f"the store cannot do this now: {text}")
    return StoreRejected(f"the store refused: {text}", code=code)


def _short(text: str) -> str:
    """The engine's sentence, without the client's prefix and the address."""
    start = text.find("DB::Exception: ")
    text = text[start + len("DB::Exception: ") :] if start >= 0 else text
    return text.partition(" (for url ")[0].strip()[:600]


def embedded_about(address: Address, password: str) -> dict[str, Any] | None:
    """What the embedded store tells of itself, or None when the address is a ClickHouse server's.

    Raises:
        StoreUnavailable: nobody answers there.
        StoreRejected: the secret is wrong.
    """
    credentials = b64encode(f"{address.user}:{password}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310 - http or https: the scheme was checked
        f"{address.base_url}/flowgauge", headers={"Authorization": f"Basic {credentials}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT_S) as response:  # noqa: S310
            about = json.load(response)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403) and error.headers.get("Server", "").startswith("flowgauge-store"):
            raise StoreRejected("the store refused: this is not its secret", code=516) from error
        return None
    except (OSError, urllib.error.URLError) as error:
        raise StoreUnavailable(f"the store does not answer at {address.base_url}: {getattr(error, 'reason', error)}") from error
    except ValueError:
        return None
    return about if isinstance(about, dict) and about.get("embedded") else None
