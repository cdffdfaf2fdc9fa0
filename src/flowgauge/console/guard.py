# SPDX-License-Identifier: Apache-2.0
"""The guard before every route: host name, token, and the headers that keep a browser safe. Plain ASGI, so streams pass."""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from flowgauge.console import auth
from flowgauge.runtime.loopback import names_loopback
from flowgauge.runtime.secret import same

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Answer without a token: a probe has none, and they tell nothing."""

LOGIN = "/login"
MAX_FORM_BYTES = 4096

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_LOGIN_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Flowgauge</title><h1>Flowgauge</h1>{problem}
<p>This console asks for the token it was started with.</p>
<form method="post" action="{action}">
<label>Token <input type="password" name="token" autocomplete="current-password" autofocus></label>
<button>Open</button></form></html>"""


class Guard:
    """Lets a request through to ``app``, or answers it.

    Args:
        token: what a client must show; empty: nothing.
        loopback: the server listens on loopback only. Then a request must name a loopback host, so that a web page cannot
            read us by rebinding its own name to 127.0.0.1.
    """

    def __init__(self, app: App, *, token: str, loopback: bool) -> None:
        self._app, self._token, self._loopback = app, token, loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here, and none passes unseen
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = await self._refusal(Request(scope, receive))
        await (answer or self._app)(scope, receive, _with_headers(send))

    async def _refusal(self, request: Request) -> Response | None:
        """What to answer instead of the route, or None to let it answer."""
        if self._loopback and not names_loopback(request.headers.get("host", "")):
            return problem("this server answers only to a loopback host name", 403)
        if not self._token or request.url.path in OPEN_PATHS:
            return None
        given, query = auth.split_token(request.url.query)
        if given and same(given, self._token):
            return self._welcome(request, request.url.path + (f"?{query}" if query else ""))
        if request.url.path == LOGIN and request.method == "POST":
            return await self._login(request)
        if auth.allowed(self._token, request.headers.get("authorization", ""), request.headers.get("cookie", "")):
            return None
        return self._ask(request)

    async def _login(self, request: Request) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_FORM_BYTES:
                return problem("the form is too long", 413)
        given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
        if same(given, self._token):
            return self._welcome(request, auth.safe_next(request.query_params.get("next", "/")))
        return self._ask(request, "<p><strong>That is not the token.</strong></p>")

    def _welcome(self, request: Request, target: str) -> Response:
        answer = RedirectResponse(auth.safe_next(target), status_code=303)
        answer.headers["Set-Cookie"] = auth.set_cookie(self._token, secure=request.url.scheme == "https")
        return answer

    def _ask(self, request: Request, sorry: str = "") -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            refused = problem("a token is needed: Authorization: Bearer TOKEN, or open the page with ?token=TOKEN", 401)
            refused.headers["WWW-Authenticate"] = "Bearer"
            return refused
        wanted = request.query_params.get("next", "/") if request.url.path == LOGIN else _path_and_query(request)
        action = html.escape(f"{LOGIN}?{urlencode({'next': wanted})}", quote=True)
        return HTMLResponse(_LOGIN_PAGE.format(action=action, problem=sorry), 401, {"Cache-Control": "no-store"})


def problem(message: str, status: int) -> JSONResponse:
    """An error in the API's form."""
    return JSONResponse({"error": {"message": message}}, status)


def _path_and_query(request: Request) -> str:
    _, query = auth.split_token(request.url.query)
    return request.url.path + (f"?{query}" if query else "")


def _with_headers(send: Send) -> Send:
    async def wrapped(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(Headers(raw=message["headers"]).raw))
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            message = {**message, "headers": headers.raw}
        await send(message)

    return wrapped
