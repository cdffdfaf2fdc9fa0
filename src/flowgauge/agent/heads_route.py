# SPDX-License-Identifier: Apache-2.0
"""The agent's HTTP routes for packet heads: only for who has the agent's token, as headers tell enough to disturb connections.

Before: :mod:`flowgauge.agent.heads`; after: :mod:`flowgauge.runtime.http`. Safe from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from dataclasses import asdict
from http import HTTPStatus

from flowgauge.agent.heads import Heads, Question
from flowgauge.errors import EnvironmentProblem, UsageError
from flowgauge.runtime import secret
from flowgauge.runtime.clock import now_ns
from flowgauge.runtime.http import Handler, Request, Response, as_json
from flowgauge.schema.duration import milliseconds

CONTENT_TYPE = "application/x-pcapng"
MAX_CAPTURES = 4
"""At once: each parses every packet."""
MAX_FOLLOW_MS = 3_600_000
MAX_BYTES = 2 << 30
_DEFAULT_BYTES = 10_000_000
_FOR_EVER_NS = 1 << 62


def routes(heads: Heads, token: str) -> dict[str, Handler]:
    """``/api/v1/heads`` (a capture file), ``…/heads/standing`` and ``…/heads/freeze``; an empty ``token`` opens none."""
    free = threading.BoundedSemaphore(MAX_CAPTURES)

    def capture(request: Request) -> Response:
        if not free.acquire(blocking=False):
            return _refused(f"{MAX_CAPTURES} captures are running; wait for one to end", HTTPStatus.TOO_MANY_REQUESTS)
        pieces = None
        try:
            pieces = heads.capture(question(request), request.stopping)
            return Response(_Answer(pieces, free), CONTENT_TYPE, headers={"Cache-Control": "no-store"})
        except EnvironmentProblem as problem:
            return _refused(str(problem), HTTPStatus.SERVICE_UNAVAILABLE)
        finally:
            if pieces is None:
                free.release()

    def freeze(request: Request) -> Response:
        wanted_ms = milliseconds(request.value("for", "1m"), "for")
        heads.freeze(wanted_ms / 1000)
        return as_json({"frozen_ms": wanted_ms})

    def standing(_: Request) -> Response:
        return as_json(asdict(heads.standing()))

    handlers = {"heads": capture, "heads/standing": standing, "heads/freeze": freeze}
    return {f"/api/v1/{path}": _guarded(handler, token) for path, handler in handlers.items()}


def question(request: Request) -> Question:
    """What the parameters ask: ``filter``; ``past`` or ``from`` and ``to`` (ms since 1970); ``for``; ``max_bytes``; ``marks``.

    Raises:
        UsageError: one of them is wrong.
    """
    now = now_ns()
    past_ms = milliseconds(request.value("past", "0s"), "past")
    start_ns = _number(request, "from", _FOR_EVER_NS // 1_000_000) * 1_000_000 or now - past_ms * 1_000_000
    end_ns = _number(request, "to", _FOR_EVER_NS // 1_000_000) * 1_000_000 or now
    follow_ms = milliseconds(request.value("for", "0s"), "for")
    if follow_ms > MAX_FOLLOW_MS:
        raise UsageError(f"for {request.value('for')!r}: a capture may last one hour at most")
    if end_ns < start_ns:
        raise UsageError("from is behind to")
    max_bytes = _number(request, "max_bytes", MAX_BYTES) or _DEFAULT_BYTES
    return Question(request.value("filter"), start_ns, end_ns, follow_ms / 1000, max_bytes, marks=bool(request.value("marks")))


def _number(request: Request, name: str, most: int) -> int:
    """A parameter, 0 when it is not given."""
    text = request.value(name)
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and 0 < int(text) <= most):
        raise UsageError(f"{name} {text[:40]!r} is no whole number from 1 to {most}")
    return int(text)


def _guarded(handler: Handler, token: str) -> Handler:
    def answer(request: Request) -> Response:
        if not token:
            return _refused(
                "this agent has no token, which packet headers need: start it with --token-file", HTTPStatus.FORBIDDEN
            )
        given = {name.lower(): value for name, value in request.headers.items()}.get("authorization", "")
        if not secret.same(given, f"Bearer {token}"):
            return _refused("packet headers need the agent's token", HTTPStatus.UNAUTHORIZED)
        return handler(request)

    return answer


class _Answer:
    """Pieces of a capture; gives its place back when it ends or is closed, also before the first piece was taken."""

    def __init__(self, pieces: Generator[bytes, None, None], free: threading.BoundedSemaphore) -> None:
        self._pieces: Generator[bytes, None, None] | None = pieces
        self._free = free

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._pieces is None:
            raise StopIteration
        return next(self._pieces)

    def close(self) -> None:
        """Ends the capture; safe to call twice."""
        pieces, self._pieces = self._pieces, None
        if pieces is not None:
            self._free.release()
            pieces.close()


def _refused(message: str, status: int) -> Response:
    return as_json({"error": {"message": message}}, status)
